"""What an operator does: rebuild, repair, status. The surfaces (command line, HTTP) parse, call these and print."""
