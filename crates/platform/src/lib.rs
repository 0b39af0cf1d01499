//! What makes clusters a platform: organizations, catalogs, apps.
