"""What stands below `storage`: the clients that it asks, and what their errors mean."""
