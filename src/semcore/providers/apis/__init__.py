"""One file an API: the order in which its requests are rendered, and where its breakpoints are said."""
