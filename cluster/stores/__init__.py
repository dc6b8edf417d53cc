"""What `storage` stands on: clients and what their errors mean; and what stands on it: tables in parts."""
