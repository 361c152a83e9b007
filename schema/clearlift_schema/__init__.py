"""The migrations, and the JSON Schema of the message. Data only: `files(clearlift_schema)`."""
