"""What people say of a draw of rows: how many are right, how far raters agree, and whether that is enough."""
