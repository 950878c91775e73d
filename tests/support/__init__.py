"""What tests share: fake endpoints, name servers and plans."""
