//! What other roles leave, plant or hold in a database neither gets at a load nor keeps it out.

use std::process::{Command, Output, Stdio};
use std::time::Duration;

use sparkload::{Config, Report};

use crate::directory::{Directory, play, song};
use crate::sequences::{last_run, quiet};
use crate::sources::bucket;
use crate::support::postgres::{self, Database, USER};
use crate::support::s3::{Fault, Operation, S3, When};
use crate::tables::target;

/// A database that a superuser loads, and where a role named mallory may make schemas, and tables among the live ones.
struct Scene {
    server: S3,
    database: Database,
    mallory: String,
}

/// Notes in a table of mallory's with whose rights it runs.
const THIEF: &str = "
CREATE TABLE public.loot (what TEXT, as_whom TEXT);
GRANT INSERT ON public.loot TO PUBLIC;
CREATE FUNCTION public.steal() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.loot VALUES (TG_OP || ' on ' || TG_TABLE_NAME, current_user);
    RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END $$;";

/// Makes operators and functions in `public` that fit types better than the server's own do, for as many types and names
/// as our SQL could meet. Whoever runs one of them is told so.
const TRAPS: &str = r#"
SET search_path = pg_catalog;
DO $$
DECLARE
    types CONSTANT TEXT[] := ARRAY[
        'smallint', 'integer', 'bigint', 'numeric', 'real', 'double precision', 'varchar', 'text', 'name', '"char"',
        'oid', 'regclass', 'boolean', 'date', 'timestamp', 'timestamptz', 'interval', 'text[]', 'integer[]'];
    operators CONSTANT TEXT[] := ARRAY[
        '=', '<>', '<', '>', '<=', '>=', '+', '-', '*', '/', '%', '||', '<<', '>>', '|', '&', '~', '~~'];
    of_one CONSTANT TEXT[] := ARRAY[
        'count', 'sum', 'min', 'max', 'avg', 'round', 'length', 'chr', 'unnest', 'array_agg', 'quote_ident',
        'to_regclass', 'num_nonnulls', 'to_hex', 'float8send', 'host', 'aclexplode', 'pg_get_userbyid'];
    of_two CONSTANT TEXT[] := ARRAY[
        'round', 'left', 'format', 'concat_ws', 'array_position', 'hashtextextended', 'date_trunc', 'to_char'];
    body CONSTANT TEXT := 'LANGUAGE plpgsql AS ''BEGIN RAISE EXCEPTION ''''trapped''''; END''';
    one TEXT;
    other TEXT;
    called TEXT;
BEGIN
    FOREACH one IN ARRAY types LOOP
        FOREACH other IN ARRAY types LOOP
            EXECUTE format('CREATE FUNCTION public.trap(%s, %s) RETURNS boolean %s', one, other, body);
            FOREACH called IN ARRAY operators LOOP
                IF NOT EXISTS (SELECT FROM pg_operator WHERE oprname = called::name
                               AND oprleft = one::regtype AND oprright = other::regtype) THEN
                    EXECUTE format('CREATE OPERATOR public.%s (LEFTARG = %s, RIGHTARG = %s, FUNCTION = public.trap)',
                                   called, one, other);
                END IF;
            END LOOP;
            FOREACH called IN ARRAY of_two LOOP
                EXECUTE format('CREATE FUNCTION public.%I(%s, %s) RETURNS text %s', called, one, other, body);
            END LOOP;
        END LOOP;
        FOREACH called IN ARRAY of_one LOOP
            EXECUTE format('CREATE FUNCTION public.%I(%s) RETURNS text %s', called, one, body);
        END LOOP;
    END LOOP;
    FOREACH called IN ARRAY ARRAY[
        'num_nonnulls(text, double precision, double precision)',
        'format(text, text, integer, text, text, text)',
        'format(text, text, integer, text, text, text, text)'
    ] LOOP
        EXECUTE format('CREATE FUNCTION public.%s RETURNS text %s', called, body);
    END LOOP;
END $$"#;

const OBJECTS: u64 = 4;

impl Scene {
    fn new() -> Self {
        let database = postgres::server().database();
        let mallory = format!("mallory_{}", database.name());
        database.query(&format!(
            "CREATE ROLE {mallory} LOGIN;
             GRANT CREATE ON DATABASE {} TO {mallory};
             GRANT CREATE ON SCHEMA public TO {mallory}",
            database.name()
        ));
        let mut source = Directory::new();
        let server = S3::start();
        source.put("song_data/1.json", &[song("SO1", "AR1", "Ode"), song("SO2", "AR2", "Hymn")]);
        source.put("song_data/2.json", &[song("SO3", "AR1", "Elegy")]);
        source.put("log_data/1.json", &[play(1, 1, "Ode"), play(2, 2, "Hymn")]);
        source.put("log_data/2.json", &[play(1, 3, "Ode"), play(3, 4, "Elegy")]);
        server.put_directory("music", "", source.path());
        Self { server, database, mallory }
    }

    fn keywords_of(&self, role: &str) -> String {
        self.database.socket_keywords().replace(&format!("user={USER}"), &format!("user={role}"))
    }

    fn config(&self, role: &str) -> Config {
        Config::new(bucket(&self.server, "s3://music"), target(&self.keywords_of(role)))
    }

    /// Runs statements as mallory.
    async fn as_mallory(&self, statements: &str) -> tokio_postgres::Client {
        let keywords = self.keywords_of(&self.mallory);
        let (client, connection) =
            tokio_postgres::connect(&keywords, tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        client.batch_execute(statements).await.unwrap();
        client
    }

    /// Kills a load of this role's when it has all but one object; returns the schema that it leaves.
    async fn leave(&self, role: &str) -> String {
        let hold = When::all(Operation::GetObject, "log_data/2.json");
        self.server.inject(hold, Fault::Delay(Duration::from_secs(60)));
        let config = self.config(role);
        let left = tokio::select! {
            result = sparkload::load(&config) => panic!("the load was not held: {result:?}"),
            left = self.nearly_loaded(role) => left,
        };
        self.server.clear_faults();
        quiet(&self.database).await;
        left
    }

    async fn nearly_loaded(&self, role: &str) -> String {
        loop {
            if let Some(left) = self.left_by(role).pop() {
                let done =
                    self.database.query(&format!("SELECT count(*) FROM {left}.load_objects"));
                if done[0][0].as_deref() == Some("3") {
                    return left;
                }
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn left_by(&self, role: &str) -> Vec<String> {
        let left = format!(
            "SET search_path = pg_catalog; SELECT nspname FROM pg_namespace
             WHERE nspname LIKE '%\\_loading\\_%' AND pg_get_userbyid(nspowner) = '{role}'"
        );
        self.database.query(&left).into_iter().map(|row| row[0].clone().unwrap()).collect()
    }

    /// Loads as the superuser, by the program.
    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sparkload"));
        command.current_dir(self.database.server().socket_folder()).env_clear();
        command.args(arguments).args(["--target", &self.database.socket_keywords()]);
        if arguments[0] == "load" {
            command.args(["--source", "s3://music", "--endpoint-url", &self.server.endpoint()]);
            command.args(["--region", "us-east-1", "--path-style", "--no-sign-request"]);
        }
        command.stdin(Stdio::null()).output().unwrap()
    }

    /// Loads as the superuser; returns what is said.
    fn load(&self) -> String {
        let output = self.run(&["load"]);
        let errors = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{errors}");
        errors
    }

    /// What a query gives, whatever stands in `public`.
    fn text(&self, query: &str) -> Option<String> {
        self.database.query(&format!("SET search_path = pg_catalog; {query}")).remove(0).remove(0)
    }

    /// Sees to it that nothing of mallory's ran, and that all live tables are this role's.
    fn hold_untouched(&self, role: &str) {
        let loot = "SELECT string_agg(what || ' as ' || as_whom, ', ') FROM public.loot";
        assert_eq!(self.text(loot), None);
        let owners = "SELECT string_agg(DISTINCT pg_get_userbyid(relowner), ' ') FROM pg_class
                      WHERE relnamespace = 'public'::regnamespace AND relname <> 'loot'
                        AND relkind IN ('r', 'i')";
        assert_eq!(self.text(owners).as_deref(), Some(role));
        assert_eq!(self.text("SELECT count(*)::text FROM public.songplays").as_deref(), Some("4"));
    }
}

/// The statements that put a thief on every table of the schema.
fn triggers_on(schema: &str) -> String {
    format!(
        "DO $$
         DECLARE
             name TEXT;
         BEGIN
             FOR name IN SELECT relname FROM pg_class
                         WHERE relnamespace = '{schema}'::regnamespace AND relkind = 'r' LOOP
                 EXECUTE format('CREATE TRIGGER thief BEFORE INSERT OR UPDATE OR DELETE ON {schema}.%I
                                 FOR EACH ROW EXECUTE FUNCTION public.steal()', name);
                 EXECUTE format('CREATE TRIGGER thieves BEFORE TRUNCATE ON {schema}.%I
                                 EXECUTE FUNCTION public.steal()', name);
             END LOOP;
         END $$"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_superuser_takes_nothing_over_that_another_role_has_left() {
    let scene = Scene::new();
    let left = scene.leave(&scene.mallory).await;
    scene.as_mallory(THIEF).await;
    scene.as_mallory(&triggers_on(&left)).await;
    // Nor does what she holds keep anyone out.
    let lock =
        format!("SELECT pg_advisory_lock(hashtext('sparkload loading'), hashtext('{left}'))");
    let squatter = scene.as_mallory(&lock).await;
    let made = "CREATE SCHEMA anything;
                COMMENT ON SCHEMA anything IS 'sparkload: a load into public in progress'";
    scene.as_mallory(made).await;

    for _ in 0..2 {
        let said = scene.load();
        for schema in [left.as_str(), "anything"] {
            assert!(said.contains(schema), "{said}");
            assert!(said.contains(&format!("DROP SCHEMA \"{schema}\" CASCADE")), "{said}");
        }
        assert!(said.contains(&format!("it belongs to the role {}", scene.mallory)), "{said}");
        scene.hold_untouched(USER);
        assert_eq!(scene.left_by(&scene.mallory), [left.as_str()], "it is not dropped either");
    }
    assert_eq!(scene.left_by(USER), [""; 0]);
    drop(squatter);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_of_a_role_takes_nothing_over_that_the_role_has_left() {
    let scene = Scene::new();
    let left = scene.leave(&scene.mallory).await;
    scene.as_mallory(THIEF).await;
    scene.as_mallory(&triggers_on(&left)).await;
    let alice = format!("alice_{}", scene.database.name());
    scene.database.query(&format!("CREATE ROLE {alice} LOGIN IN ROLE {}", scene.mallory));
    let report = sparkload::load(&scene.config(&alice)).await.unwrap();
    assert_eq!((report.objects.resumed, report.objects.loaded), (0, OBJECTS));
    scene.hold_untouched(&alice);
    assert_eq!(scene.left_by(&scene.mallory), [left]);
}

/// A leftover may have been given to its owner as it is, by `REASSIGN OWNED`.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_hung_upon_a_leftover_keeps_even_its_owner_from_touching_it() {
    let scene = Scene::new();
    scene.as_mallory(THIEF).await;
    let resumed = |report: &Report| report.objects.resumed;
    for stranger in [
        "CREATE TRIGGER thief BEFORE INSERT ON {}.staging_events FOR EACH ROW EXECUTE FUNCTION steal()",
        "CREATE RULE thief AS ON INSERT TO {}.staging_events DO ALSO NOTHING",
        "CREATE POLICY thief ON {}.load_objects USING (true)",
        "ALTER TABLE {}.load_objects ENABLE ROW LEVEL SECURITY",
        "ALTER TABLE {}.users ALTER level SET DEFAULT 'paid'",
        "ALTER TABLE {}.users ADD twice INT GENERATED ALWAYS AS (user_id * 2) STORED",
        "ALTER TABLE {}.users ADD CHECK (user_id > 0)",
        "CREATE VIEW {}.anything AS SELECT 1",
        "CREATE TABLE public.heir () INHERITS ({}.users)",
        "ALTER TABLE {}.users OWNER TO mallory",
        "GRANT USAGE ON SCHEMA {} TO mallory",
        "GRANT INSERT (level) ON {}.users TO mallory",
    ] {
        let left = scene.leave(USER).await;
        let statement = stranger.replace("{}", &left).replace("mallory", &scene.mallory);
        scene.database.query(&statement);
        let said = scene.load();
        assert!(said.contains("not all of it is sparkload's doing"), "{stranger}: {said}");
        assert_eq!(scene.left_by(USER), [left.as_str()], "{stranger}");
        scene.database.query(&format!("DROP SCHEMA {left} CASCADE; TRUNCATE public.loot"));
        scene.hold_untouched(USER);
        sparkload::create(&target(&scene.keywords_of(USER)), "public", sparkload::Existing::Drop)
            .await
            .unwrap();
    }
    // One that is as it was is gone on with.
    scene.leave(USER).await;
    let report = sparkload::load(&scene.config(USER)).await.unwrap();
    assert_eq!((resumed(&report), last_run(&scene.database).await), (3, 1));
    assert_eq!(scene.left_by(USER), [""; 0]);
}

/// `ALTER DEFAULT PRIVILEGES` would let others write into the private tables, or put triggers on them.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_else_gets_rights_to_private_tables_and_live_ones_have_the_usual_ones() {
    let scene = Scene::new();
    let mallory = &scene.mallory;
    scene.database.query(&format!(
        "ALTER DEFAULT PRIVILEGES GRANT ALL ON SCHEMAS TO {mallory};
         ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO {mallory}, PUBLIC"
    ));
    let left = scene.leave(USER).await;
    let rights = format!(
        "SELECT concat(has_schema_privilege('{mallory}', '{left}', 'USAGE'),
                       has_schema_privilege('{mallory}', '{left}', 'CREATE'),
                       has_table_privilege('{mallory}', '{left}.staging_events', 'INSERT'),
                       has_table_privilege('{mallory}', '{left}.steps', 'TRIGGER'))"
    );
    assert_eq!(scene.text(&rights).as_deref(), Some("ffff"));
    let report = sparkload::load(&scene.config(USER)).await.unwrap();
    assert_eq!(report.objects.resumed, 3);
    let rights = format!(
        "SELECT concat(has_table_privilege('{mallory}', 'public.songplays', 'INSERT'),
                       has_table_privilege('{mallory}', 'public.load_objects', 'SELECT'))"
    );
    assert_eq!(scene.text(&rights).as_deref(), Some("tt"));
}

/// The server has no operator for `bigint * interval`, nor one for `varchar = varchar`: it would be anyone's that fits.
#[tokio::test(flavor = "multi_thread")]
async fn no_operator_or_function_that_is_planted_is_ever_run() {
    let scene = Scene::new();
    // What triggers of users' look up is where they put it.
    scene.database.query(
        "CREATE TABLE audit (what TEXT);
         CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN INSERT INTO audit VALUES (TG_TABLE_NAME); RETURN NULL; END $$",
    );
    scene.as_mallory(TRAPS).await;
    let told = |arguments: &[&str]| {
        let output = scene.run(arguments);
        let [out, errors] = [output.stdout, output.stderr].map(|it| String::from_utf8(it).unwrap());
        assert!(output.status.success(), "{arguments:?}: {errors}");
        out
    };
    let put = |name: &str, records: &[serde_json::Value]| {
        scene.server.put("music", name, crate::directory::lines(records));
    };
    let plays = || scene.text("SELECT count(*)::text FROM public.songplays").unwrap();

    told(&["create"]);
    scene.leave(USER).await;
    told(&["load"]);
    assert_eq!(plays(), "4");
    scene.database.query(
        "CREATE TRIGGER note AFTER INSERT ON songs EXECUTE FUNCTION note();
         CREATE CONSTRAINT TRIGGER late AFTER INSERT ON load_runs DEFERRABLE INITIALLY DEFERRED
             FOR EACH ROW EXECUTE FUNCTION note()",
    );
    put("song_data/2.json", &[song("SO4", "AR3", "Elegy"), song("SO5", "AR3", "Ode")]);
    put("log_data/3.json", &[play(4, 3, "Ode"), play(1, 9, "Elegy")]);
    told(&["load"]);
    assert_eq!(plays(), "6");
    let noted = "SELECT string_agg(what, ' ' ORDER BY what) FROM public.audit";
    assert_eq!(scene.text(noted).as_deref(), Some("load_runs songs"));
    put("song_data/1.json", &[song("SO1", "AR1", "Ode")]);
    told(&["load", "--matched-only", "--match", "title-artist"]);
    put("song_data/1.json", &[song("SO1", "AR1", "Ode"), song("SO2", "AR2", "Hymn")]);
    told(&["load", "--matched-only", "--match", "title-artist"]);
    put("log_data/3.json", &[play(4, 3, "Ode")]);
    told(&["load", "--full-refresh"]);
    assert_eq!(plays(), "5");
    told(&["create"]);
    let checked = told(&["check"]);
    assert!(checked.contains("No rule is broken"), "{checked}");
    assert!(told(&["history"]).contains("incremental"));
    for query in sparkload::named_queries() {
        told(&["query", &query.name]);
    }
    told(&["history", "1"]);

    // Whoever holds the lock is named all the same.
    let lock =
        "SELECT pg_advisory_lock(pg_catalog.hashtext('sparkload'), pg_catalog.hashtext('public'))";
    scene.database.query(&format!(
        "REVOKE ALL ON SCHEMA public FROM PUBLIC; REVOKE ALL ON SCHEMA public FROM {}",
        scene.mallory
    ));
    let squatter = scene.as_mallory(lock).await;
    let output = scene.run(&["load"]);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(errors.contains("another load works on the schema public"), "{errors}");
    assert!(errors.contains(&format!("logged in as {}", scene.mallory)), "{errors}");
    assert!(errors.contains("it may not use the schema and so is no load"), "{errors}");
    drop(squatter);
}

/// Whoever makes a schema can say in a comment that it is anything.
#[tokio::test(flavor = "multi_thread")]
async fn a_scratch_schema_that_another_role_has_made_is_not_dropped() {
    let scene = Scene::new();
    let mark =
        "COMMENT ON SCHEMA scratch IS 'sparkload: scratch of a benchmark, dropped by the next one'";
    scene.as_mallory(&format!("CREATE SCHEMA scratch; {mark}")).await;
    let source = format!("{}/fixtures/sparkify", env!("CARGO_MANIFEST_DIR"));
    let bench = ["bench", "--only", "copy", "--bench-schema", "scratch", "--source", &source];
    let output = scene.run(&bench);
    let errors = String::from_utf8(output.stderr).unwrap();
    let expected = "the schema scratch is there, and was not made for a benchmark";
    assert!(!output.status.success() && errors.contains(expected), "{errors}");

    // One of our own, but with something in it that a benchmark does not make.
    let owner =
        format!("ALTER SCHEMA scratch OWNER TO {USER}; CREATE VIEW scratch.mine AS SELECT 1");
    scene.database.query(&owner);
    let output = scene.run(&bench);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && errors.contains("view scratch.mine"), "{errors}");
    scene.database.query("DROP VIEW scratch.mine");
    assert!(scene.run(&bench).status.success());
    let left = "SELECT to_regnamespace('scratch')::text";
    assert_eq!(scene.text(left), None);
}
