"""What there is to be asked, a file for each subject: the shapes of answers, how they are made, and the operations."""
