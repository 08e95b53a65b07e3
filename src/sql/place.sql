-- Whether a load can work here: $1 is its schema.
SELECT to_regnamespace(quote_ident($1)) IS NOT NULL,
       current_setting('server_encoding'),
       pg_is_in_recovery(),
       current_setting('transaction_read_only') = 'on';
