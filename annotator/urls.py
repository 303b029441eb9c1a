"""Every address of the web side: pages, API, health."""

from django.contrib import admin
from django.urls import include, path
from drf_spectacular.views import SpectacularSwaggerView

from annotator.data.media import media

handler500 = "annotator.common.api.unknown.failed"

urlpatterns = [
    path("admin/", admin.site.urls),
    path("api/v1/", include("annotator.api_urls")),
    path("api/docs/", SpectacularSwaggerView.as_view(url_name="api-schema"), name="api-docs"),
    path("media/<slug:slug>/<str:sha256>", media, name="media"),
    path("", include("annotator.page_urls")),
]
