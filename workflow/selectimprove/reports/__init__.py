"""Reports: publishing, the audit's page, verification and the RO-Crate."""
