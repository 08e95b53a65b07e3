//! The program is killed at any moment: the old state stays, and the next run makes the right one.

use std::path::Path;
use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;
use sparkload::Matching;

use crate::books;
use crate::directory::{Directory, play, song};
use crate::oracle::hold_against_oracle;
use crate::place::Place;
use crate::sequences::{last_run, quiet};
use crate::tables::contents;

/// How often the program is killed where nothing else is said.
const KILLS: usize = 12;
/// A stand-in is slower than a server.
const WAREHOUSE_KILLS: usize = 6;

crate::place::at_every_place! {
    a_killed_program_leaves_the_old_state_and_the_next_run_makes_the_right_one,
    of_two_programs_one_wins_and_the_other_names_it,
    every_snapshot_is_of_one_load_while_twenty_are_published,
}

/// A song has so many plays in each log.
const PLAYS: i64 = 20;

/// The program, at work on `source`.
fn start(source: &Path, place: &Place, matching: Matching) -> Child {
    let mut command = place.program(source);
    command.args(["--connections", "3", "--block-bytes", "4096"]);
    if matching == Matching::TitleArtist {
        command.args(["--match", "title-artist"]);
    }
    command.spawn().unwrap()
}

fn put_songs(source: &mut Directory, random: &mut Rng, object: i64) {
    let songs = (0..5).map(|number| {
        let number = object * 5 + number;
        let artist = format!("AR{}", random.u32(..20));
        song(&format!("SO{number}"), &artist, &format!("title {}", number + random.i64(0..3)))
    });
    source.put(&format!("song_data/{object:02}.json"), &songs.collect::<Vec<_>>());
}

fn put_log(source: &mut Directory, random: &mut Rng, object: i64) {
    let plays = (0..random.i64(1..8 * PLAYS)).map(|_| {
        play(random.i64(0..30), random.i64(0..5000), &format!("title {}", random.i64(0..120)))
    });
    source.put(&format!("log_data/{object:02}.json"), &plays.collect::<Vec<_>>());
}

/// A source of so many objects of each kind.
fn source(random: &mut Rng, objects: i64) -> Directory {
    let mut source = Directory::new();
    (0..objects).for_each(|object| put_songs(&mut source, random, object));
    (0..objects).for_each(|object| put_log(&mut source, random, object));
    source
}

/// Kills the program so often, at moments of the whole time that it takes.
async fn kill(place: Place, kills: usize) {
    let mut random = Rng::with_seed(1541106106796);
    let mut source = self::source(&mut random, 20);
    let (database, clean) = (place.database(), Place::postgres());
    // Full loads come of other settings, with which everything is read again.
    let rules = |full_loads: usize| match full_loads % 2 {
        0 => (Matching::TitleArtistDuration, "oracle_songplays"),
        _ => (Matching::TitleArtist, "oracle_songplays_title_artist"),
    };
    let mut full_loads = 0;
    let mut longest = [Duration::from_millis(400); 2];
    let (mut before, mut published, mut full) = (Vec::new(), 0, true);
    for number in 0..kills {
        let (matching, plays) = rules(full_loads);
        let run = last_run(database).await;
        let mut program = start(source.path(), &place, matching);
        thread::sleep(longest[usize::from(full)].mul_f64(random.f64() * 1.2));
        program.kill().unwrap();
        program.wait().unwrap();
        if random.bool() {
            quiet(database).await;
        }
        if last_run(database).await == run {
            if run > 0 {
                similar_asserts::assert_eq!(contents(database, source.path()).await, before);
            }
        } else {
            published += 1;
        }

        // The lock is free when the server has noticed.
        let started = Instant::now();
        let mut tries = 0;
        loop {
            let output = start(source.path(), &place, matching).wait_with_output().unwrap();
            let errors = String::from_utf8_lossy(&output.stderr);
            if output.status.success() {
                break;
            }
            assert!(errors.contains("another load works on the schema"), "{errors}");
            tries += 1;
            assert!(tries < 100, "the lock is never given back");
        }
        if tries == 0 {
            let took = &mut longest[usize::from(full)];
            *took = started.elapsed().max(took.mul_f64(0.9));
        }
        // A warehouse's tables have no indexes behind: it has to be known how large they are.
        database.query("ANALYZE");
        let mut reference = clean.config(source.path());
        (reference.matching, reference.full_refresh) = (matching, true);
        sparkload::load(&reference).await.unwrap();
        before = contents(database, source.path()).await;
        let expected = contents(clean.database(), source.path()).await;
        similar_asserts::assert_eq!(before, expected, "after kill {number}");
        books::balance(database).await;
        hold_against_oracle(database, plays).await;
        place.hold_empty();

        for _ in 0..random.usize(1..6) {
            let object = random.i64(0..26);
            match random.u8(..3) {
                0 => put_songs(&mut source, &mut random, object),
                _ => put_log(&mut source, &mut random, object),
            }
        }
        full = random.u8(..4) == 0;
        full_loads += usize::from(full);
    }
    println!("{kills} kills, {published} of them after the commit; loads took {longest:?}");
}

async fn a_killed_program_leaves_the_old_state_and_the_next_run_makes_the_right_one(place: Place) {
    let kills = match place {
        Place::Postgres(_) => KILLS,
        Place::Staged(_) | Place::Inserted(_) => WAREHOUSE_KILLS,
    };
    kill(place, kills).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes; `make soak` runs it"]
async fn a_hundred_kills() {
    kill(Place::postgres(), 100).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes; `make soak` runs it"]
async fn a_hundred_kills_of_loads_into_redshift() {
    kill(Place::staged(), 100).await;
}

async fn of_two_programs_one_wins_and_the_other_names_it(place: Place) {
    let mut random = Rng::with_seed(7);
    let mut source = self::source(&mut random, 20);
    let database = place.database();
    let client = database.connect().await;
    // Redshift shows a superuser alone who holds a lock.
    let (lock, holder) = match place {
        Place::Postgres(_) => ("locktype = 'advisory'", "sparkload, process "),
        _ => ("relation = to_regclass('load_lock')", "it holds the lock of the table load_lock"),
    };
    let locked = format!(
        "SELECT EXISTS (SELECT FROM pg_locks WHERE {lock} AND granted
         AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))"
    );
    for round in 0..3 {
        put_log(&mut source, &mut random, round);
        let first = start(source.path(), &place, Matching::default());
        while !client.query_one(&locked, &[]).await.unwrap().get::<_, bool>(0) {}
        let second = start(source.path(), &place, Matching::default());
        let second = second.wait_with_output().unwrap();
        let first = first.wait_with_output().unwrap();
        let failed: Vec<_> =
            [first, second].into_iter().filter(|it| !it.status.success()).collect();
        // None fails if the first one was done before the second one looked.
        assert!(failed.len() <= 1, "{failed:?}");
        let Some(failed) = failed.first() else { continue };
        let errors = String::from_utf8_lossy(&failed.stderr);
        assert!(errors.contains("another load works on the schema public"), "{errors}");
        assert!(errors.contains(holder), "{errors}");
    }
    books::balance(database).await;
    hold_against_oracle(database, "oracle_songplays").await;
    place.hold_empty();
}

/// What has to be true of every state, read in an order that would show a mixture.
const STATE: [&str; 9] = [
    "SELECT coalesce(sum(staged), 0)::BIGINT FROM load_objects WHERE replaced_by IS NULL AND kind = 'logs'",
    "SELECT count(*) FROM staging_events",
    "SELECT staging_events FROM load_runs ORDER BY run DESC LIMIT 1",
    "SELECT coalesce(sum(taken), 0)::BIGINT FROM load_objects WHERE replaced_by IS NULL AND kind = 'logs'",
    "SELECT count(*) FROM songplays",
    "SELECT songplays FROM load_runs ORDER BY run DESC LIMIT 1",
    "SELECT count(DISTINCT start_time) FROM songplays",
    "SELECT count(*) FROM \"time\"",
    "SELECT \"time\" FROM load_runs ORDER BY run DESC LIMIT 1",
];

/// Each play is of a song and of a user.
const BROKEN: &str = "SELECT count(*) FROM songplays AS play
    WHERE NOT EXISTS (SELECT 1 FROM songs WHERE songs.song_id = play.song_id)
       OR NOT EXISTS (SELECT 1 FROM users WHERE users.user_id = play.user_id)";

async fn every_snapshot_is_of_one_load_while_twenty_are_published(place: Place) {
    let mut random = Rng::with_seed(11);
    let mut source = self::source(&mut random, 5);
    let mut config = place.config(source.path());
    config.matched_only = true;
    sparkload::load(&config).await.unwrap();
    let client = place.reader().await;
    let begin = place.begin();
    let (done, mut is_done) = tokio::sync::oneshot::channel::<()>();
    let reader = tokio::spawn(async move {
        let mut states = std::collections::BTreeSet::new();
        while is_done.try_recv().is_err() {
            client.batch_execute(begin).await.unwrap();
            let mut counts = Vec::new();
            for query in STATE {
                counts.push(client.query_one(query, &[]).await.unwrap().get::<_, i64>(0));
                tokio::time::sleep(Duration::from_millis(3)).await;
            }
            let wrong: i64 = client.query_one(BROKEN, &[]).await.unwrap().get(0);
            client.batch_execute("COMMIT").await.unwrap();
            let same = counts.chunks(3).all(|same| same[0] == same[1] && same[1] == same[2]);
            assert!(
                same && wrong == 0,
                "a mixture of two loads: {counts:?}, {wrong} without a song or user"
            );
            states.insert(counts);
        }
        states.len()
    });
    for _ in 0..20 {
        let object = random.i64(0..8);
        put_log(&mut source, &mut random, object);
        put_songs(&mut source, &mut random, object);
        sparkload::load(&config).await.unwrap();
    }
    done.send(()).unwrap();
    assert!(reader.await.unwrap() > 5, "the reader saw many states");
    books::balance(place.database()).await;
    place.hold_empty();
}

/// Makes the server work for ten minutes on the first play, unless the table `haste` has a row.
const SLOW: &str = "
CREATE TABLE haste (nothing INT);
CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_sleep(600) WHERE NOT EXISTS (SELECT FROM haste);
    RETURN NULL;
END $$;
CREATE TRIGGER slow BEFORE INSERT ON songplays EXECUTE FUNCTION slow()";

/// The server would hear of the end of its client when it has done what it was told.
#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_is_killed_while_the_server_works_is_followed_at_once() {
    let place = Place::postgres();
    let database = place.database();
    let version = database.query("SELECT current_setting('server_version_num')::int >= 140000");
    if version[0][0].as_deref() != Some("t") {
        return;
    }
    let source = self::source(&mut Rng::with_seed(3), 3);
    sparkload::create(&place.target(), "public", sparkload::Existing::Keep).await.unwrap();
    database.query(SLOW);
    let mut program = start(source.path(), &place, Matching::default());
    let sleeps = "SELECT count(*)::text FROM pg_stat_activity
                  WHERE datname = current_database() AND wait_event = 'PgSleep'";
    while database.query(sleeps)[0][0].as_deref() != Some("1") {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    database.query("INSERT INTO haste VALUES (1)");
    program.kill().unwrap();
    program.wait().unwrap();
    // A busy machine may need more than the moment that there is without it.
    let next = place.program(source.path()).args(["--wait", "60s"]).output().unwrap();
    assert!(next.status.success(), "{}", String::from_utf8_lossy(&next.stderr));
    assert_eq!(last_run(database).await, 1);
    place.hold_empty();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_is_given_back_in_a_moment_is_waited_for() {
    let place = Place::postgres();
    let source = self::source(&mut Rng::with_seed(3), 3);
    let holder = place.database().connect().await;
    let lock = "SELECT pg_advisory_lock(hashtext('sparkload'), hashtext('public'))";
    holder.batch_execute(lock).await.unwrap();
    let config = place.config(source.path());
    let (loaded, ()) = tokio::join!(sparkload::load(&config), async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        holder.batch_execute("SELECT pg_advisory_unlock_all()").await.unwrap();
    });
    loaded.unwrap();
}
