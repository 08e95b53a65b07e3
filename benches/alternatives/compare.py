"""Loads a bucket into a server by sparkload and by programs that one would take instead, in turns, and compares both
the results and what they took.

    pip install -r benches/alternatives/requirements.txt
    benches/alternatives/compare.py --source s3://BUCKET --target "host=… dbname=…" --program target/release/sparkload

Every program makes the same five tables with their primary keys, in a schema of its own that is dropped before and
after. The checksums of the tables must agree; `songplay_id` is left out of them, as everyone numbers plays in a way
of their own. Credentials are those of the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION). A time
is that of a whole process, from its start to its end; the machine's is all that its cores did meanwhile, which is the
work of the servers too where they are on the same one.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg

HERE = Path(__file__).parent
SCHEMA = "sparkload_alternatives"
TABLES = ["songplays", "users", "songs", "artists", "time"]
# All of the environment that counts.
CREDENTIALS = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION"]


def main():
    options = arguments()
    for name in list(os.environ):
        if name.startswith(("PG", "SPARKLOAD_", "AWS_")) and name not in CREDENTIALS:
            del os.environ[name]
    os.environ.update(AWS_CONFIG_FILE=os.devnull, AWS_SHARED_CREDENTIALS_FILE=os.devnull)
    if options.only:
        return CONTENDERS[options.only](options)
    taken = {name: [] for name in ["sparkload", *CONTENDERS]}
    results = {name: [] for name in taken}
    for _ in range(options.runs):
        for name, runs in taken.items():
            prepare(options, with_tables=name != "sparkload")
            itself = [sys.executable, __file__, *sys.argv[1:], "--only", name]
            runs.append(measure(name, sparkload(options) if name == "sparkload" else itself))
            results[name].append(checksums(options))
    execute(options, f"DROP SCHEMA {SCHEMA} CASCADE")

    heads = f"{'wall':>10}{'of the best':>14}{'CPU':>10}{'machine':>10}{'peak':>12}"
    print(f"{'':14}{heads}   medians of {options.runs}")
    medians = {name: [statistics.median(column) for column in zip(*runs)] for name, runs in taken.items()}
    best = min(wall for name, (wall, *_) in medians.items() if name != "sparkload")
    for name, (wall, cpu, machine, peak) in medians.items():
        print(f"{name:14}{wall:8.2f} s{wall / best:13.0%} {cpu:8.2f} s{machine:8.2f} s{peak / 1e6:9.0f} MB")
    first = results["sparkload"][0]
    for name, of_runs in results.items():
        for result in of_runs:
            for table, mine, others in zip(TABLES, result, first):
                if mine != others:
                    sys.exit(f"{name} makes another {table} than sparkload: {mine}, {others}")
    print("all results agree:", ", ".join(f"{table} {count}" for table, (count, _) in zip(TABLES, first)))


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", required=True, help="s3://BUCKET[/PREFIX] that holds song_data and log_data")
    parser.add_argument("--target", required=True, help="keywords and values of a connection, as libpq takes them")
    parser.add_argument("--program", default="sparkload", help="the sparkload to run")
    parser.add_argument("--endpoint-url", help="another S3 than Amazon's")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--only", choices=CONTENDERS, help="run one of them, once, into tables that are there")
    return parser.parse_args()


def prepare(options, with_tables):
    """Makes an empty schema, and has what was there written to disk; sparkload wants no tables that it has not made."""
    tables = (HERE / "../../src/sql/tables.sql").read_text().split("-- The records as they came.")[0]
    execute(options, f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE; CREATE SCHEMA {SCHEMA};" + tables * with_tables)
    execute(options, "CHECKPOINT")


def measure(name, command):
    """Wall seconds, CPU seconds, those of the whole machine and peak bytes of a process that loads once."""
    start, before = time.monotonic(), machine_cpu()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    wall = time.monotonic() - start
    if status:
        sys.exit(f"{name} failed")
    print(f"{name}: {wall:.2f} s", file=sys.stderr)
    return wall, used.ru_utime + used.ru_stime, machine_cpu() - before, used.ru_maxrss * 1024


def machine_cpu():
    """The seconds in which a core was neither idle nor waiting, of /proc/stat."""
    ticks = Path("/proc/stat").read_text().split()[1:8]
    user, nice, system, _idle, _iowait, irq, softirq = map(int, ticks)
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def checksums(options):
    """Rows and a checksum of each table that knows no order."""
    plays = "(SELECT start_time, user_id, level, song_id, artist_id, session_id, location, user_agent FROM songplays)"
    found = []
    with connect(options) as connection:
        for table in TABLES:
            rows = plays if table == "songplays" else table
            sums = f"SELECT count(*), sum(hashtextextended(it::text, 0)) FROM {rows} AS it"
            found.append(connection.execute(sums).fetchone())
    return found


def sparkload(options):
    """The command that loads; the others are functions of this program, and what they do is counted from its start."""
    command = [options.program, "load", "--config", os.devnull, "--source", options.source, "--target", options.target]
    endpoint = ["--endpoint-url", options.endpoint_url] if options.endpoint_url else []
    return [*command, "--schema", SCHEMA, "--no-staging", "--quiet", *endpoint]


def polars(options):
    import adbc_driver_postgresql.dbapi as adbc
    import polars as pl

    storage = {f"aws_{name}": os.environ[f"AWS_{name.upper()}"] for name in ["access_key_id", "secret_access_key", "region"]}
    if options.endpoint_url:
        storage |= {"aws_endpoint_url": options.endpoint_url, "aws_allow_http": "true"}

    def read(kind, schema):
        files = f"{options.source}/{kind}/**/*.json"
        return pl.scan_ndjson(files, schema=schema, storage_options=storage).collect()

    text, double = pl.String, pl.Float64
    records = read("song_data", {
        "artist_id": text, "artist_latitude": double, "artist_longitude": double, "artist_location": text,
        "artist_name": text, "song_id": text, "title": text, "duration": double, "year": pl.Int32,
    }).with_row_index("place")
    known = (
        (pl.col("artist_location").fill_null("") != "").cast(pl.Int8)
        + pl.col("artist_latitude").is_not_null() + pl.col("artist_longitude").is_not_null()
    )
    artists = (
        records.with_columns(known=known)
        .sort("known", "song_id", "place", descending=[True, False, True])
        .unique("artist_id", keep="first", maintain_order=True)
        .select("artist_id", name="artist_name", location="artist_location", latitude="artist_latitude", longitude="artist_longitude")
    )
    catalog = records.unique("song_id", keep="last", maintain_order=True)
    songs = catalog.select("song_id", "title", "artist_id", "year", "duration")
    match = (
        catalog.sort("song_id")
        .unique(["title", "artist_name", "duration"], keep="first", maintain_order=True)
        .select("title", "artist_name", "duration", "song_id", "artist_id")
    )

    events = read("log_data", {
        "artist": text, "firstName": text, "gender": text, "itemInSession": pl.Int32, "lastName": text, "length": double,
        "level": text, "location": text, "page": text, "sessionId": pl.Int32, "song": text, "ts": pl.Int64,
        "userAgent": text, "userId": text,
    }).with_columns(user_id=pl.col("userId").cast(pl.Int32, strict=False)).filter(pl.col("user_id").is_not_null())
    plays = events.filter(pl.col("page") == "NextSong").with_row_index("songplay_id").select(
        pl.col("songplay_id").cast(pl.Int64), pl.from_epoch("ts", "ms").cast(pl.Datetime("us")).alias("start_time"),
        "user_id", "level", "song", "artist", "length", session_id="sessionId", location="location", user_agent="userAgent",
    )
    songplays = plays.join(
        match, how="left", left_on=["song", "artist", "length"], right_on=["title", "artist_name", "duration"]
    ).select("songplay_id", "start_time", "user_id", "level", "song_id", "artist_id", "session_id", "location", "user_agent")

    def late():
        users = (
            events.sort("ts", "sessionId", "itemInSession", maintain_order=True)
            .unique("user_id", keep="last")
            .select("user_id", first_name="firstName", last_name="lastName", gender="gender", level="level")
        )
        at = pl.col("start_time").dt
        moments = plays.select("start_time").unique().sort("start_time").select(
            "start_time", hour=at.hour(), day=at.day(), week=at.week(), month=at.month(), year=at.year(),
            weekday=at.weekday() % 7,
        ).cast({pl.Int8: pl.Int32})
        fill(users=users, songs=songs, artists=artists, time=moments)

    def fill(**tables):
        with adbc.connect(options.target, autocommit=True) as connection, connection.cursor() as cursor:
            for name, frame in tables.items():
                cursor.adbc_ingest(name, frame.to_arrow(), mode="append", db_schema_name=SCHEMA)
                add_key(options, name)

    with ThreadPoolExecutor(2) as pool:
        for task in [pool.submit(fill, songplays=songplays), pool.submit(late)]:
            task.result()


def duckdb(options):
    import duckdb
    from duckdb_extensions import import_extension

    for extension in ["httpfs", "postgres_scanner"]:
        import_extension(extension)
    connection = duckdb.connect()
    for extension in ["httpfs", "postgres_scanner"]:
        connection.execute(f"LOAD {extension}")
    secret = {"KEY_ID": os.environ["AWS_ACCESS_KEY_ID"], "SECRET": os.environ["AWS_SECRET_ACCESS_KEY"], "REGION": os.environ["AWS_REGION"]}
    if options.endpoint_url:
        scheme, _, host = options.endpoint_url.partition("://")
        secret |= {"ENDPOINT": host.rstrip("/"), "URL_STYLE": "path", "USE_SSL": str(scheme == "https").lower()}
    secret = ", ".join(f"{name} '{value}'" for name, value in secret.items())
    connection.execute(f"CREATE SECRET (TYPE s3, {secret})")
    connection.execute(f"ATTACH '{options.target}' AS target (TYPE postgres)")
    connection.execute((HERE / "duckdb.sql").read_text().replace(":source", options.source).replace(":schema", SCHEMA))
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda table: add_key(options, table), TABLES))


CONTENDERS = {"polars": polars, "duckdb": duckdb}


def add_key(options, table):
    key = {"time": "start_time"}.get(table, f"{table.removesuffix('s')}_id")
    execute(options, f'ALTER TABLE "{table}" ADD PRIMARY KEY ({key})')


def connect(options):
    return psycopg.connect(options.target, autocommit=True, options=f"-c search_path={SCHEMA}")


def execute(options, sql):
    with connect(options) as connection:
        connection.execute(sql)


if __name__ == "__main__":
    main()
