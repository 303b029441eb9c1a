"""Hashed static files whose ES module imports are rewritten to the hashed names as well."""

from whitenoise.storage import CompressedManifestStaticFilesStorage


class HashedStaticStorage(CompressedManifestStaticFilesStorage):
    support_js_module_import_aggregation = True
    manifest_strict = False
    # A pass settles the names one level of imports further up, and the desk's modules lie nine levels deep.
    max_post_process_passes = 20
