"""What a broker needs of memory when clients let it hold more than its budget."""
