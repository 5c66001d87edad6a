"""The operations of the API, one file for each subject, with the types of their requests and answers."""
