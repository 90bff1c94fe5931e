"""The demo shop: goods, pictures, texts and customers, and their writers. Production imports none of it."""
