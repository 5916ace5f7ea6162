use super::super::page::Order;
use super::super::testing::{AUTHOR, NOW, NativeDatabase};
use super::*;
use crate::pool::HOUR_MS;
use futures::executor::block_on;

/// What a rotation changes, with the digests of tokens 1 to 3 by their numbers.
const DIGESTS: &str = "SELECT hex(digest), hex(previous_digest), previous_until FROM client_tokens";

fn secret(number: u8) -> TokenSecret {
    TokenSecret::new([number; 32])
}

fn hex(number: u8) -> String {
    let TokenDigest(digest) = secret(number).digest();
    digest.iter().map(|byte| format!("{byte:02X}")).collect()
}

fn field(column: TokenColumn, value: impl Into<Value>) -> TokenField {
    TokenField {
        column,
        value: value.into(),
    }
}

fn create(database: &NativeDatabase, number: u8, fields: &[TokenField]) -> TokenId {
    let name = [field(TokenColumn::Name, format!("Token {number}"))];
    let fields = [&name, fields].concat();
    let request_id = format!("req_{number}");
    let author = Author {
        request_id: &request_id,
        ..AUTHOR
    };
    let secret = secret(number);
    let created = create_client_token(database, &secret, &fields, author, NOW);
    block_on(created).unwrap()
}

fn change(database: &NativeDatabase, id: TokenId, change: &TokenChange) -> bool {
    let author = Author {
        request_id: change.action(),
        ..AUTHOR
    };
    block_on(change_client_token(database, id, change, author, NOW)).unwrap()
}

fn find_at(database: &NativeDatabase, number: u8, ms: i64) -> Option<ClientToken> {
    let digest = secret(number).digest();
    block_on(find_client_token(database, &digest, NOW.plus(ms))).unwrap()
}

#[test]
fn a_token_has_a_prefix_and_is_stored_as_a_digest() {
    let database = NativeDatabase::migrated();
    // The statement may run twice.
    assert_eq!(create(&database, 1, &[]), create(&database, 1, &[]));
    let secret = secret(1);
    assert_eq!(secret.expose().len(), 46);
    assert!(secret.expose().starts_with("kp_"));
    let rows = database.query("SELECT prefix, hex(digest), name FROM client_tokens");
    let prefix = &secret.expose()[..11];
    assert_eq!(rows, [format!("{prefix}|{}|Token 1", hex(1))]);
    let dump = database
        .query("SELECT * FROM client_tokens, audit_log")
        .concat();
    assert!(!dump.contains(&secret.expose()[..12]), "{dump}");
    assert_eq!(database.count("audit_log"), 1);
    assert!(!format!("{secret:?}").contains(&secret.expose()[3..7]));
}

#[test]
fn finds_a_token_with_what_it_may_do() {
    let database = NativeDatabase::migrated();
    assert_eq!(block_on(has_client_tokens(&database)), Ok(false));
    let fields = [
        field(TokenColumn::ExpiresAt, NOW.plus(1)),
        field(TokenColumn::Models, r#"["gemini-*"]"#),
        field(TokenColumn::Networks, r#"["10.0.0.0/8"]"#),
        field(TokenColumn::RequestsPerMinute, 60i64),
        field(TokenColumn::TokensPerDay, 1000i64),
    ];
    let id = create(&database, 1, &fields);
    create(&database, 2, &[]);
    let token = ClientToken {
        id,
        expires_at: Some(NOW.plus(1)),
        disabled_at: None,
        models: Some(vec!["gemini-*".to_owned()]),
        networks: Network::parse("10.0.0.0/8").map(|network| vec![network]),
        requests_per_minute: Some(60),
        tokens_per_day: Some(1000),
    };
    assert_eq!(find_at(&database, 1, 0), Some(token.clone()));
    assert_eq!(find_at(&database, 3, 0), None);
    assert!(change(&database, id, &TokenChange::Disable));
    let disabled = ClientToken {
        disabled_at: Some(NOW),
        ..token
    };
    assert_eq!(find_at(&database, 1, 0), Some(disabled));
    assert_eq!(block_on(has_client_tokens(&database)), Ok(true));
    let plan = database.plan(&find());
    assert!(!plan.contains("SCAN"), "{plan}");
}

#[test]
fn a_row_that_is_broken_by_hand_allows_nothing() {
    for (broken, state) in [
        ("expires_at = 'soon'", TokenState::Expired),
        ("disabled_at = 'yes'", TokenState::Disabled),
        ("models = 'm'", TokenState::Active),
        ("networks = '[\"localhost\"]'", TokenState::Active),
        ("networks = CAST(x'ff' AS TEXT)", TokenState::Active),
        ("requests_per_minute = 'many'", TokenState::Active),
        ("tokens_per_day = -1", TokenState::Active),
    ] {
        let database = NativeDatabase::migrated();
        create(&database, 1, &[]);
        database.run(&format!("UPDATE client_tokens SET {broken}"));
        let token = find_at(&database, 1, 0).unwrap();
        assert_eq!(token.state(NOW), state, "{broken}");
        let is_useless = token.state(NOW) != TokenState::Active
            || !token.allows_model("m")
            || !token.allows_address("10.0.0.1".parse().ok())
            || token.requests_per_minute == Some(0)
            || token.tokens_per_day == Some(0);
        assert!(is_useless, "{broken}");
    }
}

#[test]
fn each_change_is_made_and_audited() {
    let database = NativeDatabase::migrated();
    let id = create(&database, 1, &[]);
    let edit = TokenChange::Edit(vec![
        field(TokenColumn::Name, "new"),
        field(TokenColumn::Models, r#"["m"]"#),
        field(TokenColumn::RequestsPerMinute, 7i64),
    ]);
    let columns = "SELECT name, models, requests_per_minute, disabled_at FROM client_tokens";
    for (step, expected) in [
        (edit, r#"new|["m"]|7|NULL"#),
        (
            TokenChange::Disable,
            r#"new|["m"]|7|2027-01-15T08:00:00.000Z"#,
        ),
        (TokenChange::Enable, r#"new|["m"]|7|NULL"#),
    ] {
        // A statement may run twice.
        for _ in 0..2 {
            assert!(change(&database, id, &step));
        }
        assert_eq!(database.query(columns), [expected]);
    }
    assert!(change(&database, id, &TokenChange::Delete));
    assert!(!change(&database, id, &TokenChange::Delete));
    let audit = "SELECT actor, action, subject, before IS NULL, after IS NULL FROM audit_log";
    let expected = [
        "admin_token|create_token|token:1|1|0",
        "admin_token|edit_token|token:1|0|0",
        "admin_token|disable_token|token:1|0|0",
        "admin_token|enable_token|token:1|0|0",
        "admin_token|delete_token|token:1|0|1",
    ];
    assert_eq!(database.query(audit), expected);
    assert_eq!(create(&database, 2, &[]), TokenId(2), "an id is used once");
}

#[test]
fn a_rotated_token_is_accepted_until_its_grace_ends() {
    let database = NativeDatabase::migrated();
    let id = create(&database, 1, &[]);
    let rotate = |number, grace: Option<i64>| TokenChange::Rotate {
        secret: secret(number),
        previous_until: grace.map(|ms| NOW.plus(ms)),
    };
    // The statement may run twice.
    for _ in 0..2 {
        assert!(change(&database, id, &rotate(2, Some(HOUR_MS))));
        let expected = format!("{}|{}|2027-01-15T09:00:00.000Z", hex(2), hex(1));
        assert_eq!(database.query(DIGESTS), [expected]);
    }
    for (number, ms, is_accepted) in [(1, HOUR_MS - 1, true), (1, HOUR_MS, false), (2, 0, true)] {
        let found = find_at(&database, number, ms);
        assert_eq!(found.is_some(), is_accepted, "{number} {ms}");
    }
    assert!(change(&database, id, &rotate(3, None)));
    assert_eq!(database.query(DIGESTS), [format!("{}||NULL", hex(3))]);
    let accepted = [1, 2, 3].map(|number| find_at(&database, number, 0).is_some());
    assert_eq!(accepted, [false, false, true]);
}

#[test]
fn filters_and_sorts_tokens() {
    let database = NativeDatabase::migrated();
    let expires = |ms| [field(TokenColumn::ExpiresAt, NOW.plus(ms))];
    create(&database, 1, &[]);
    create(&database, 2, &expires(1));
    create(&database, 3, &expires(0));
    let disabled = create(&database, 4, &expires(0));
    change(&database, disabled, &TokenChange::Disable);
    let ids = |state, text: Option<&str>, sort| {
        let filter = TokenFilter {
            state,
            text: text.map(str::to_owned),
        };
        let page = PageOf {
            sort,
            order: Order::Ascending,
            after: None,
            limit: 10,
        };
        let page = block_on(list_client_tokens(&database, &filter, &page, NOW)).unwrap();
        let ids = page.items.iter().map(|token| token.token.id.0);
        ids.collect::<Vec<_>>()
    };
    for (state, expected) in [
        (None, vec![1, 2, 3, 4]),
        (Some(TokenState::Active), vec![1, 2]),
        (Some(TokenState::Expired), vec![3]),
        (Some(TokenState::Disabled), vec![4]),
    ] {
        assert_eq!(ids(state, None, TokenSort::Name), expected, "{state:?}");
    }
    assert_eq!(ids(None, None, TokenSort::ExpiresAt), [3, 4, 2, 1]);
    assert_eq!(ids(None, Some("KEN 2"), TokenSort::Id), [2]);
    let prefix = secret(3).shown().to_owned();
    assert_eq!(ids(None, Some(&prefix), TokenSort::Id), [3]);
}

#[test]
fn counts_the_tokens_of_todays_calls() {
    let database = NativeDatabase::with_keys(1);
    let log = |token: &str, ms: i64, tokens: &str| {
        database.run(&format!(
            "INSERT INTO api_call_logs (api_key_id, success, called_at, token_id, input_tokens, output_tokens, thinking_tokens)
             VALUES (1, 1, '{}', {token}, {tokens})",
            NOW.plus(ms).to_iso()
        ));
    };
    // The day in Los Angeles began at NOW.
    log("1", 0, "1, 20, 300");
    log("1", HOUR_MS, "4000, NULL, NULL");
    log("1", HOUR_MS, "NULL, NULL, NULL");
    log("1", -1, "5, 5, 5");
    log("2", 0, "7, 7, 7");
    log("NULL", 0, "9, 9, 9");
    let used = |ms| {
        let now = Moment::new(NOW.plus(ms));
        block_on(tokens_used_today(&database, TokenId(1), &now)).unwrap()
    };
    assert_eq!(
        [used(0), used(23 * HOUR_MS), used(24 * HOUR_MS)],
        [4321, 4321, 0]
    );
    let huge = i64::MAX.to_string();
    log("1", 0, &format!("{huge}, {huge}, 0"));
    assert!(used(0) >= i64::MAX as u64 / 2, "{}", used(0));
    block_on(delete_old_token_usage(&database, NOW.plus(49 * HOUR_MS))).unwrap();
    assert_eq!(database.count("client_token_hours"), 1);
}
