"""Who is asking: certificates and AE titles of machines; passwords, second factors, sessions and tokens of people."""
