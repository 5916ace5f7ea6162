use super::super::database::{Database, read, write, write_once};
use super::*;
use crate::sync::{native, yield_now};
use futures::executor::block_on;
use futures::future::{join_all, pending};
use std::collections::VecDeque;

/// A scripted host.
#[derive(Default)]
struct Host {
    clock_ms: Cell<u64>,
    /// Whether to reject pragmas, as libSQL's client does.
    is_remote: bool,
    opened: Cell<usize>,
    /// The replies to the next statements; later ones succeed.
    script: RefCell<VecDeque<Reply>>,
    /// The connection and text of each statement except pragmas.
    ran: RefCell<Vec<(usize, String)>>,
    pragmas: Cell<usize>,
    /// Connections up to this one are dead; their statements yield before they fail.
    dead: Cell<usize>,
    try_ms: Cell<u64>,
}

#[derive(Clone)]
enum Reply {
    Error(&'static str),
    /// No reply ever comes.
    Hangs,
    Done,
}

const EXPIRED: Reply = Reply::Error(
    "Hrana: `api error: `status=400 Bad Request, body={\"code\":\"STREAM_EXPIRED\"}``",
);
const BATON: Reply =
    Reply::Error("Hrana: `api error: `status=400 Bad Request, body=Received an invalid baton``");
const LOST: Reply =
    Reply::Error("Hrana: `http error: `connection closed before message completed``");
const BUSY: Reply = Reply::Error("database is locked");
const OTHER: Reply = Reply::Error("no such table: t");

impl Connector for Rc<Host> {
    type Connection = usize;

    async fn connect(&self) -> Result<usize> {
        self.opened.set(self.opened.get() + 1);
        Ok(self.opened.get())
    }

    async fn execute(
        &self,
        connection: &usize,
        statement: &str,
        _: Vec<Value>,
    ) -> Result<Vec<Row>> {
        if statement.starts_with("PRAGMA") {
            self.pragmas.set(self.pragmas.get() + 1);
            return match self.is_remote {
                true => Err(DatabaseError::new("unsupported statement")),
                false => Ok(Vec::new()),
            };
        }
        let ran = (*connection, statement.to_owned());
        self.ran.borrow_mut().push(ran);
        self.clock_ms.set(self.clock_ms.get() + self.try_ms.get());
        if *connection <= self.dead.get() {
            yield_now().await;
            return Err(DatabaseError::new("STREAM_EXPIRED"));
        }
        let reply = self.script.borrow_mut().pop_front();
        match reply.unwrap_or(Reply::Done) {
            Reply::Error(text) => Err(DatabaseError::new(text)),
            Reply::Hangs => pending().await,
            Reply::Done => Ok(Vec::new()),
        }
    }

    fn clock_ms(&self) -> u64 {
        self.clock_ms.get()
    }

    async fn wait(&self, ms: u64) {
        // Lets other tasks run first, in no time.
        for _ in 0..10 {
            yield_now().await;
        }
        self.clock_ms.set(self.clock_ms.get() + ms);
    }
}

fn host(is_remote: bool, script: &[Reply]) -> (Rc<Host>, Rc<Reconnecting<Rc<Host>>>) {
    let host = Rc::new(Host {
        is_remote,
        script: RefCell::new(script.iter().cloned().collect()),
        ..Host::default()
    });
    let database = block_on(Reconnecting::open(Rc::clone(&host), native)).unwrap();
    (host, Rc::new(database))
}

/// The connections that a statement ran on, and its result.
fn ran(script: &[Reply], access: Access) -> (Vec<usize>, Result<Vec<Row>>) {
    let (host, database) = host(true, script);
    let result = block_on(database.execute(access, "S", Vec::new()));
    let connections = host.ran.borrow().iter().map(|(on, _)| *on).collect();
    (connections, result)
}

#[test]
fn a_dead_connection_is_replaced_and_its_statement_repeated() {
    for access in [Access::Read, Access::Write, Access::WriteOnce] {
        for dead in [EXPIRED, BATON] {
            let repeated = (vec![1, 2], Ok(Vec::new()));
            assert_eq!(ran(&[dead], access), repeated, "{access:?}");
        }
    }
}

#[test]
fn a_lost_statement_is_repeated_only_if_it_may_run_twice() {
    for access in [Access::Read, Access::Write] {
        let repeated = (vec![1, 2], Ok(Vec::new()));
        assert_eq!(ran(&[LOST], access), repeated, "{access:?}");
    }
    let (connections, result) = ran(&[LOST], Access::WriteOnce);
    assert_eq!(connections, [1]);
    assert_eq!(result.map_err(|error| error.kind()), Err(ErrorKind::Lost));
}

#[test]
fn a_statement_is_repeated_once_and_its_error_returned() {
    let (connections, result) = ran(&[EXPIRED, EXPIRED, EXPIRED], Access::Write);
    assert_eq!(connections, [1, 2]);
    assert!(result.is_err());
    let (connections, result) = ran(&[OTHER], Access::Read);
    assert_eq!(connections, [1]);
    assert_eq!(result, Err(DatabaseError::new("no such table: t")));
}

#[test]
fn a_lost_connection_is_replaced_for_the_next_statement() {
    let (host, database) = host(true, &[LOST]);
    assert!(block_on(write_once(&*database, "A", Vec::new())).is_err());
    block_on(write_once(&*database, "B", Vec::new())).unwrap();
    let expected = [(1, "A".to_owned()), (2, "B".to_owned())];
    assert_eq!(*host.ran.borrow(), expected);
}

#[test]
fn concurrent_statements_share_the_new_connection() {
    let (host, database) = host(true, &[]);
    host.dead.set(1);
    let all = (0..3).map(|_| write_once(&*database, "S", Vec::new()));
    assert!(block_on(join_all(all)).iter().all(Result::is_ok));
    assert_eq!(host.opened.get(), 2);
    assert_eq!(host.ran.borrow().len(), 6);
}

#[test]
fn pragmas_run_on_files_and_are_tried_once_on_libsql() {
    let (file, _) = host(false, &[]);
    assert_eq!(file.pragmas.get(), 1 + PRAGMAS.len());
    let (remote, database) = host(true, &[EXPIRED, EXPIRED, Reply::Done, EXPIRED]);
    for _ in 0..3 {
        let _ = block_on(read(&*database, "S", Vec::new()));
    }
    assert!(remote.opened.get() > 1);
    assert_eq!(remote.pragmas.get(), 1);
}

#[test]
fn a_hanging_statement_times_out_and_drops_its_connection() {
    let (host, database) = host(true, &[Reply::Hangs]);
    let within = super::super::Within::optional(Rc::clone(&database), 250);
    let result = block_on(write_once(&within, "A", Vec::new()));
    assert_eq!(result.map_err(|error| error.kind()), Err(ErrorKind::Lost));
    assert_eq!((host.clock_ms.get(), within.left_ms()), (250, 0));
    block_on(read(&*database, "B", Vec::new())).unwrap();
    assert_eq!(host.ran.borrow().last(), Some(&(2, "B".to_owned())));
}

#[test]
fn statements_on_a_slow_file_get_a_timeout() {
    let (host, database) = host(false, &[Reply::Done, Reply::Hangs]);
    host.try_ms.set(SLOW_MS);
    block_on(write(&*database, "A", Vec::new())).unwrap();
    host.try_ms.set(0);
    let within = super::super::Within::optional(Rc::clone(&database), 250);
    assert!(block_on(write(&within, "B", Vec::new())).is_err());
    assert_eq!(host.opened.get(), 1, "the connection must stay open");
}

#[test]
fn optional_writes_fail_at_once_while_the_lock_is_stuck() {
    let locked: Vec<Reply> = vec![BUSY; 1000];
    let (host, database) = host(false, &locked);
    host.try_ms.set(10);
    let optional = || super::super::Within::optional(Rc::clone(&database), 250);
    assert!(block_on(write(&optional(), "A", Vec::new())).is_err());
    let (waited, tried) = (host.clock_ms.get(), host.ran.borrow().len());
    assert!((200..=260).contains(&waited), "{waited}");
    for _ in 0..100 {
        let result = block_on(write(&optional(), "B", Vec::new()));
        assert!(result.is_err_and(|error| error.is_busy()));
    }
    assert_eq!(host.ran.borrow().len(), tried, "no statement must be tried");
    assert_eq!(host.clock_ms.get(), waited, "no statement must wait");
    // Required writes are tried regardless, and find the lock free.
    host.script.borrow_mut().clear();
    block_on(write(&*database, "C", Vec::new())).unwrap();
    block_on(write(&optional(), "D", Vec::new())).unwrap();
    // Optional writes try again after a while.
    host.script.borrow_mut().extend(locked);
    assert!(block_on(write(&optional(), "E", Vec::new())).is_err());
    host.script.borrow_mut().clear();
    assert!(block_on(write(&optional(), "F", Vec::new())).is_err());
    block_on(database.pause(STUCK_FOR_MS + 1));
    block_on(write(&optional(), "G", Vec::new())).unwrap();
}
