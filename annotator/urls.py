"""Every address of the web side: pages, API, health."""

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("admin/", admin.site.urls),
    path("api/v1/", include("annotator.api.urls")),
    path("", include("annotator.views.urls")),
]
