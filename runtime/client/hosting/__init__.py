"""Any Flower app's ClientApp, run behind this account's privacy policy."""
