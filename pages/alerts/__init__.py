"""The Alerts page: what was raised, and how it leaves the desk."""
