/*
 * options.h — one row for each setting of the configuration file.
 *
 * The row declares the field, its type, default, limits, whether a reload applies it, and what
 * people read. The parser, config_diff, the sample file, the manual page and the completion are
 * made from these rows; nothing else knows the settings.
 *
 * X(type, name, initial, example, min, max, flags, form, help)
 *
 *   type      STRING PATH SIZE COUNT CHOICE ADDRESS URL COMPRESSION LIST (config/config.h, FIELD_*)
 *   initial   the default as one would write it, or NULL: none; with OPTION_DERIVED a description
 *   example   what the sample file shows; NULL: the default
 *   min max   SIZE: bytes; COUNT: the number; STRING, PATH, URL, LIST: the longest text (max)
 *   flags     OPTION_*
 *   form      what a value looks like; for CHOICE the words themselves, in the order of their enum
 */
#ifndef CONFIG_OPTIONS_H
#define CONFIG_OPTIONS_H

enum option_flags {
	OPTION_REQUIRED = 1, /* there is no default: the section is refused without it */
	OPTION_RELOAD = 2,   /* SIGHUP applies a change; without it a change needs a restart */
	OPTION_SECRET =
	        4, /* may hold a password: never shown, and then others may not read the file */
	OPTION_DERIVED = 8, /* the default comes from elsewhere; initial says from where */
};

/* clang-format off */
#define OPTIONS_SERVER(X)                                                                          \
	X(PATH, socket, "seawall.sock in the state folder", "/run/seawall/seawall.sock", 0, 107,   \
	  OPTION_DERIVED, "an absolute path of at most 107 bytes",                                 \
	  "the Unix socket on which the server listens; only the server's own user may connect")   \
	X(ADDRESS, http, NULL, "127.0.0.1:7413", 0, 0, 0, "ADDRESS:PORT, a loopback address",      \
	  "also show the read-only views over HTTP on this address; off unless given")             \
	X(PATH, state, "state in the base folder", "/var/lib/seawall/state", 0, 1024,              \
	  OPTION_DERIVED, "an absolute path",                                                      \
	  "folder of the local state: a cache that may be deleted at any time")                    \
	X(SIZE, memory, "96MB", NULL, UINT64_C(32) << 20, UINT64_C(64) << 30, 0,                   \
	  "a size: B, kB, MB, GB or TB",                                                           \
	  "the buffers for WAL and backup data; all other memory is about 30 MB")                  \
	X(COUNT, workers, "the cores, at most 8", "2", 1, 8, OPTION_DERIVED, "a number",           \
	  "threads that read, compress and check")                                                 \
	X(CHOICE, log, "text", NULL, 0, 0, OPTION_RELOAD, "text | json",                           \
	  "how each line of the log, on standard error, is written")                               \
	X(CHOICE, log_level, "info", NULL, 0, 0, OPTION_RELOAD, "error | warning | info | debug",  \
	  "how much is logged")

#define OPTIONS_REPOSITORY(X)                                                                      \
	X(URL, url, NULL, "file:///var/lib/seawall/repository", 0, 1024, OPTION_REQUIRED,          \
	  "file:///FOLDER | s3://BUCKET/PREFIX", "where the repository is")                        \
	X(COMPRESSION, wal_compression, "lz4", NULL, 0, 0, 0, "lz4 | zstd | zstd:LEVEL (1 to 19) | none", \
	  "how WAL is compressed")                                                                 \
	X(COMPRESSION, pack_compression, "zstd:3", NULL, 0, 0, 0,                                  \
	  "lz4 | zstd | zstd:LEVEL (1 to 19) | none", "how the data of backups is compressed")      \
	X(PATH, key_file, NULL, "/etc/seawall/key", 0, 1024, OPTION_RELOAD, "an absolute path",    \
	  "encrypt the repository: file with the key, a line of at least 32 characters")           \
	X(PATH, key_passphrase_file, NULL, "/etc/seawall/passphrase", 0, 1024, OPTION_RELOAD,      \
	  "an absolute path", "the same with a passphrase: file that holds it")                    \
	X(STRING, key_command, NULL, "vault kv get -field=key secret/seawall", 0, 4096,            \
	  OPTION_RELOAD | OPTION_SECRET, "a shell command",                                        \
	  "the same with a command that prints the key; it is run once")                           \
	X(STRING, region, "AWS_REGION of the environment, else us-east-1", "eu-central-1", 0, 63,  \
	  OPTION_DERIVED, "a region's name", "s3: the region of the bucket")                       \
	X(STRING, endpoint, "AWS's of the region", "https://s3.example.com:9000", 0, 255,          \
	  OPTION_DERIVED, "https://HOST[:PORT] or http://HOST[:PORT]",                             \
	  "s3: where the store listens, when it is not AWS")                                       \
	X(CHOICE, url_style, "automatic", "path", 0, 0, 0, "automatic | path | virtual",           \
	  "s3: where a request names the bucket: in the path or in the host; automatic is virtual at AWS, else path") \
	X(PATH, ca_file, "the system's", "/etc/seawall/ca.pem", 0, 1024, OPTION_DERIVED,           \
	  "an absolute path", "s3: file of the certificates that may vouch for the store")         \
	X(STRING, access_key, "what S3's tools would find", "AKIA0123456789EXAMPLE", 0, 255,       \
	  OPTION_DERIVED, "an access key id", "s3: whose key signs the requests")                  \
	X(PATH, secret_key_file, NULL, "/etc/seawall/s3.secret", 0, 1024, 0, "an absolute path",   \
	  "s3: with access_key, file that holds the secret key, in a line")                        \
	X(PATH, credentials_file, NULL, "/etc/seawall/s3.credentials", 0, 1024, 0,                 \
	  "an absolute path", "s3: instead of these two, a file with profiles (~/.aws/credentials)") \
	X(STRING, profile, NULL, "backup", 0, 127, 0, "a profile's name",                          \
	  "s3: which profile of the credentials and config files")                                 \
	X(STRING, storage_class, NULL, "STANDARD_IA", 0, 63, 0, "a storage class of the store",    \
	  "s3: the storage class of what is written; the bucket's own unless given")               \
	X(STRING, wal_storage_class, "storage_class", "STANDARD", 0, 63, OPTION_DERIVED,           \
	  "a storage class of the store", "s3: the same for WAL")                                  \
	X(STRING, pack_storage_class, "storage_class", "STANDARD_IA", 0, 63, OPTION_DERIVED,       \
	  "a storage class of the store", "s3: the same for the data of backups")                  \
	X(CHOICE, sse, "none", "AES256", 0, 0, 0, "none | AES256 | aws:kms",                       \
	  "s3: ask the store to encrypt what it keeps, with a key of its own")                     \
	X(STRING, sse_key, NULL, "arn:aws:kms:eu-central-1:111122223333:key/KEY", 0, 255, 0,       \
	  "a key's id", "s3: with sse = aws:kms, which key")                                       \
	X(CHOICE, object_lock, "none", "governance", 0, 0, 0, "none | governance | compliance",    \
	  "s3: keep what is written from being deleted for object_lock_days; the bucket must have object lock") \
	X(COUNT, object_lock_days, NULL, "30", 1, 36500, 0, "a number", "s3: how long, with object_lock") \
	X(SIZE, upload_limit, NULL, "50MB", UINT64_C(5) << 20, UINT64_C(1) << 40, OPTION_RELOAD,   \
	  "a size", "s3: how much may be sent to the store in a second")                           \
	X(SIZE, download_limit, NULL, "200MB", UINT64_C(5) << 20, UINT64_C(1) << 40, OPTION_RELOAD, \
	  "a size", "s3: how much may be fetched from the store in a second")

#define OPTIONS_CLUSTER(X)                                                                         \
	X(PATH, pgdata, "that of the first push", "/var/lib/postgresql/15/main", 0, 1024,          \
	  OPTION_DERIVED, "an absolute path", "the cluster's data directory")                      \
	X(STRING, connect, "the local socket, the role named as the user", "dbname=postgres", 0,   \
	  4096, OPTION_DERIVED | OPTION_SECRET, "a libpq connection string",                       \
	  "how to connect to the cluster for backups and checks")                                  \
	X(LIST, repositories, "the only repository", "local", 1, CONFIG_PLACES_MAX, OPTION_DERIVED, \
	  "names of repositories, the nearest first", "where the cluster is archived")             \
	X(STRING, ack, "all", NULL, 0, 8, 0, "all | any | a number",                               \
	  "how many repositories must have a WAL file before PostgreSQL hears that it is archived") \
	X(PATH, pg_bin, "that of the running server, else looked for", NULL, 0, 1024,              \
	  OPTION_DERIVED, "an absolute path", "folder of the programs of PostgreSQL (pg_ctl, postgres)")

/* Settings of the design that come with their feature: X(section, name). Until then they are
 * refused as "not in this version", so that nobody believes in one that has no effect. */
#define OPTIONS_LATER(X)                                                                           \
	X(server, token_file) X(server, tls_certificate) X(server, tls_key)                        \
	X(cluster, receive) X(cluster, tail_interval) X(cluster, sync)             \
	X(cluster, fence) X(cluster, backup_schedule) X(cluster, keep) X(cluster, drill_schedule)  \
	X(cluster, drill) X(cluster, verify)
/* clang-format on */

#endif
