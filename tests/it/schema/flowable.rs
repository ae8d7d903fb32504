//! The views of the schema `flowable`: what an engine's events come to in them, in any order, and beside rows of others.

use flowtrail::{
    model::{Offset, Partition},
    pipeline::{decode::decode, merge::Fold},
    postgres::{self, Batch, LastRecord, Progress, Written},
    proto::v1::{FlowEvent, FlowStatus, HistoryEvent, Phase, StepEvent, VariableEvent, history_event::Event},
};
use prost::Message as _;
use rand::{SeedableRng as _, rngs::StdRng, seq::SliceRandom as _};
use serde_json::{Value, json};
use tokio_postgres::Client;

use super::{connect, servers, view_plans::read_whole};

/// Milliseconds after 2026-01-01T00:00:00Z.
fn at(ms: i64) -> pbjson_types::Timestamp {
    let (seconds, ms) = (1_767_225_600 + ms.div_euclid(1_000), ms.rem_euclid(1_000));
    pbjson_types::Timestamp { seconds, nanos: i32::try_from(ms).unwrap() * 1_000_000 }
}

fn flow(id: &str, phase: Phase) -> FlowEvent {
    FlowEvent {
        flow_instance_id: id.to_owned(),
        phase: phase.into(),
        status: if phase == Phase::Closed { FlowStatus::Completed } else { FlowStatus::Started }.into(),
        app_name: "flowable".to_owned(),
        app_version: "3".to_owned(),
        flow_name: "order".to_owned(),
        ..FlowEvent::default()
    }
}

fn step(flow: &str, id: &str, activity: &str, misc: &'static str) -> StepEvent {
    StepEvent {
        flow_instance_id: flow.to_owned(),
        step_id: id.to_owned(),
        phase: Phase::Closed.into(),
        task_name: activity.to_owned(),
        misc: misc.into(),
        ..StepEvent::default()
    }
}

fn part(flow: &str, scope: &str, name: &str, revision: i64, value: &'static str) -> Event {
    Event::Variable(VariableEvent {
        flow_instance_id: flow.to_owned(),
        scope: scope.to_owned(),
        name: name.to_owned(),
        r#type: "json".to_owned(),
        value: value.into(),
        revision,
        ..VariableEvent::default()
    })
}

fn variable(scope: &str, name: &str, kind: &str, value: &'static str, misc: &'static str) -> VariableEvent {
    VariableEvent {
        flow_instance_id: "flowable:12".to_owned(),
        scope: scope.to_owned(),
        name: name.to_owned(),
        r#type: kind.to_owned(),
        value: value.into(),
        revision: 1_000,
        variable_id: format!("v-{name}"),
        created_at: Some(at(100)),
        misc: misc.into(),
        ..VariableEvent::default()
    }
}

/// An instance that calls another one and ends, that other one, one that is cancelled.
fn instances() -> Vec<Event> {
    let opened = FlowEvent {
        user_id: "kermit".to_owned(),
        started_at: Some(at(0)),
        ..flow("flowable:12", Phase::Opened)
    };
    let ended = FlowEvent { ended_at: Some(at(61_500)), ..flow("flowable:12", Phase::Closed) };
    let called = FlowEvent {
        started_at: Some(at(2_000)),
        parent_flow_instance_id: "flowable:12".to_owned(),
        ..flow("flowable:30", Phase::Opened)
    };
    let cancelled = FlowEvent {
        started_at: Some(at(0)),
        ended_at: Some(at(1)),
        status: FlowStatus::Cancelled.into(),
        ..flow("flowable:40", Phase::Closed)
    };
    let start = r#"{"processDefinitionId":"order:3:7","startActivityId":"start","tenantId":"acme","name":"new","businessKey":"bk-1",
        "businessStatus":"open","callbackId":"c","callbackType":"ct","referenceId":"r","referenceType":"rt","propagatedStageInstanceId":"ps"}"#;
    let mut events: Vec<Event> = [opened, ended, called, cancelled].into_iter().map(Event::Flow).collect();
    events.extend([
        part("flowable:12", "@process", "start", 1_000, start),
        part("flowable:12", "@process", "changed-name", 2_000, r#"{"name":"second"}"#),
        part("flowable:12", "@process", "changed-name", 3_000, r#"{"name":"Order 12"}"#),
        part("flowable:12", "@process", "end", 4_000, r#"{"endActivityId":"done","businessStatus":null}"#),
        part("flowable:30", "@process", "start", 1_000, r#"{"processDefinitionId":"sub:1:9"}"#),
        part("flowable:40", "@process", "start", 1_000, r#"{"processDefinitionId":"order:3:7"}"#),
        part(
            "flowable:40",
            "@process",
            "end",
            2_000,
            r#"{"deleteReason":"by hand","endUserId":"fozzie","state":"cancelled"}"#,
        ),
    ]);
    events
}

/// Activities of the first instance: one that begins it, a task that changes hands, two calls, one that was cut off; and a job
/// that failed, which is none.
fn activities() -> Vec<Event> {
    const TASK: &str = r#"{"activityType":"userTask","activityName":"Approve","processDefinitionId":"order:3:7","executionId":"13","transactionOrder":2,"tenantId":"acme"}"#;
    const CALL: &str =
        r#"{"activityType":"callActivity","processDefinitionId":"order:3:7","executionId":"13"}"#;
    let of = |id: &str, activity: &str, misc, from, to| StepEvent {
        started_at: Some(at(from)),
        ended_at: Some(at(to)),
        ..step("flowable:12", id, activity, misc)
    };
    let start = r#"{"activityType":"startEvent","processDefinitionId":"order:3:7","executionId":"13","transactionOrder":1}"#;
    let opened = StepEvent { phase: Phase::Opened.into(), ended_at: None, ..of("a2", "approve", TASK, 5, 0) };
    let calls = StepEvent {
        flow_instance_id: "flowable:12".to_owned(),
        step_id: "a3".to_owned(),
        phase: Phase::Running.into(),
        subflow_id: "flowable:30".to_owned(),
        ..StepEvent::default()
    };
    let failed = step("flowable:12", "job:9", "approve", r#"{"jobId":"9","executionId":"13"}"#);
    let steps = [
        of("a1", "start", start, 0, 0),
        opened,
        of("a2", "approve", TASK, 5, 60_005),
        calls,
        StepEvent { phase: Phase::Opened.into(), ended_at: None, ..of("a3", "call", CALL, 2_000, 0) },
        of("a5", "callMore", CALL, 2_000, 2_001),
        failed,
    ];
    let mut events: Vec<Event> = steps.into_iter().map(Event::Step).collect();
    events.extend([
        part("flowable:12", "@step:a2", "assignee", 1_000, r#"{"assignee":"gonzo"}"#),
        part("flowable:12", "@step:a2", "assignee", 2_000, r#"{"assignee":"fozzie"}"#),
        part("flowable:12", "@step:a2", "task", 1_000, r#"{"taskId":"t1"}"#),
        part("flowable:12", "@step:a2", "end", 3_000, r#"{"completedBy":"fozzie"}"#),
        part("flowable:12", "@step:a5", "called", 1_000, r#"{"calledProcessInstanceId":"31"}"#),
        part("flowable:12", "@step:a5", "end", 2_000, r#"{"deleteReason":"boundary event (timer)"}"#),
    ]);
    events
}

/// A task that ends, one that is open, one that was deleted.
fn tasks() -> Vec<Event> {
    let created = r#"{"name":"Approve","assignee":"gonzo","createTime":"2026-01-01T00:00:00.005Z","taskDefinitionKey":"approve",
        "taskDefinitionId":"td","formKey":"form","priority":50,"dueDate":"2026-01-02T01:00:00.000+01:00","category":"cat",
        "description":"what","owner":"kermit","parentTaskId":"t0","tenantId":"acme","executionId":"13","state":"created",
        "processDefinitionId":"order:3:7","scopeId":"s","subScopeId":"ss","scopeType":"st"}"#;
    let ended = r#"{"endTime":"2026-01-01T00:01:00.005Z","claimTime":"2026-01-01T00:00:30.000Z","deleteReason":"done","state":"completed"}"#;
    let open = r#"{"name":"Open","createTime":"no time","priority":"many"}"#;
    let mut events = vec![
        part("flowable:12", "@task:t1", "created", 1_000, created),
        part("flowable:12", "@task:t1", "assignee", 2_000, r#"{"assignee":"fozzie"}"#),
        part("flowable:12", "@task:t1", "owner", 2_000, r#"{"owner":null}"#),
        part("flowable:12", "@task:t1", "ended", 3_000, ended),
        part("flowable:12", "@task:t2", "created", 1_000, open),
        part("flowable:12", "@task:t3", "created", 1_000, r#"{"name":"Gone"}"#),
        part("flowable:12", "@task:t3", "assignee", 2_000, r#"{"assignee":"fozzie"}"#),
    ];
    let Event::Variable(gone) = part("flowable:12", "@task:t3", "created", 3_000, "") else { unreachable!() };
    events.push(Event::Variable(VariableEvent { removed: true, ..gone }));
    events
}

/// One of the instance that changed, one of an execution, one of a task, one that was removed.
fn variables() -> Vec<Event> {
    let total = variable("", "total", "long", "41", r#"{"revision":0,"longValue":41,"executionId":"12"}"#);
    let changed = VariableEvent {
        value: "9223372036854775807".into(),
        revision: 2_000,
        updated_at: Some(at(200)),
        misc: r#"{"revision":1,"longValue":9223372036854775807,"executionId":"12"}"#.into(),
        ..total.clone()
    };
    let gone = variable("", "gone", "string", "x", r#"{"textValue":"x"}"#);
    let removed = VariableEvent { removed: true, revision: 2_000, ..gone.clone() };
    let ratio = r#"{"revision":0,"doubleValue":0.25,"textValue":"t","textValue2":"t2","metaInfo":"mi","executionId":"13",
        "taskId":"t1","scopeId":"s","subScopeId":"ss","scopeType":"st"}"#;
    let all = [
        total,
        changed,
        gone,
        removed,
        variable("task:t1", "ratio", "double", "0.25", ratio),
        variable("execution:14", "bare", "null", "", ""),
    ];
    all.into_iter().map(Event::Variable).collect()
}

/// What others wrote, and what can't be read: none of it may keep the rest from being shown.
fn others() -> Vec<Event> {
    let mut broken = part("flowable:50", "@process", "start", 1, "");
    if let Event::Variable(event) = &mut broken {
        event.value = vec![0xff, 0x00].into();
    }
    let elsewhere =
        VariableEvent { flow_instance_id: "flogo".to_owned(), ..variable("", "x", "string", "1", "{}") };
    let odd = r#"{"revision":"first","longValue":1e30,"doubleValue":"much","executionId":["x"]}"#;
    vec![
        Event::Flow(FlowEvent { started_at: Some(at(0)), ..flow("flogo", Phase::Closed) }),
        Event::Step(step("flogo", "1", "task", r#"{"order":1}"#)),
        Event::Step(step("flogo", "2", "task", "\u{1}")),
        Event::Variable(elsewhere),
        Event::Flow(flow("flowable:50", Phase::Opened)),
        broken,
        part("flowable:50", "@process", "more", 2, "[1]"),
        part("flowable:50", "@process", "nul", 3, r#"{"name":"\u0000"}"#),
        Event::Step(step("flowable:50", "cut", "c", r#"{"activityType":"userTask""#)),
        Event::Step(step("flowable:50", "odd", "o", r#"{"activityType":["x"],"transactionOrder":1e9}"#)),
        part(
            "flowable:50",
            "@task:odd",
            "created",
            1,
            r#"{"createTime":"infinity","endTime":"2026-01-01T00:00:00Z"}"#,
        ),
        Event::Variable(VariableEvent {
            flow_instance_id: "flowable:50".to_owned(),
            ..variable("", "odd", "long", "?", odd)
        }),
    ]
}

/// Writes each event by itself, in an order drawn by a seed, and some of them twice.
async fn written(seed: u64) -> Client {
    let url = servers::database().await;
    let mut events = [instances(), activities(), tasks(), variables(), others()].concat();
    let mut random = StdRng::seed_from_u64(seed);
    if seed > 0 {
        events.extend(events.iter().step_by(3).cloned().collect::<Vec<_>>());
        events.shuffle(&mut random);
    }
    let mut session = servers::session(&url).await;
    for (number, event) in (0..).zip(events) {
        let value = HistoryEvent { event: Some(event) }.encode_to_vec();
        let mut fold = Fold::default();
        fold.extend(decode(None, Some(&value.into()), 1 << 20, None).unwrap().events);
        let progress = Progress {
            partition: Partition { topic: "flowable".into(), number: 0 },
            from: (number > 0).then_some(Offset(number)),
            next: Offset(number + 1),
            last: Some(LastRecord { offset: Offset(number), time: None, hash: [0; 16] }),
        };
        let batch = Batch { fold, progress: vec![progress], ..Batch::default() };
        let written = postgres::write(&mut session, "flowable", &batch).await.unwrap();
        assert!(matches!(written, Written::Stored(_)), "{written:?}");
    }
    connect(&url).await
}

/// The rows of a view by id, without what is null.
async fn shown(client: &Client, view: &str) -> Value {
    let sql = format!(
        "SELECT COALESCE(jsonb_object_agg(id_, jsonb_strip_nulls(to_jsonb(v)) - 'id_'), '{{}}') FROM flowable.{view} v"
    );
    client.query_one(&sql, &[]).await.unwrap().get(0)
}

/// By what Flowable's columns mean, as docs of its tables and a look into them say.
fn expected() -> [(&'static str, Value); 4] {
    let of = |id: &str, more: Value| {
        let mut row =
            json!({"proc_inst_id_": id, "source_": "flowable", "flowinstanceid": format!("flowable:{id}")});
        row.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        row
    };
    let task = json!({"execution_id_": "13", "act_type_": "userTask", "tenant_id_": "acme", "proc_def_id_": "order:3:7",
        "act_id_": "approve", "act_name_": "Approve", "task_id_": "t1", "assignee_": "fozzie", "completed_by_": "fozzie",
        "start_time_": "2026-01-01T00:00:00.005", "end_time_": "2026-01-01T00:01:00.005", "duration_": 60_000,
        "transaction_order_": 2});
    let call = |more: Value| {
        let mut row = json!({"execution_id_": "13", "act_type_": "callActivity", "tenant_id_": "",
            "proc_def_id_": "order:3:7", "start_time_": "2026-01-01T00:00:02"});
        row.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        of("12", row)
    };
    [
        (
            "act_hi_procinst",
            json!({
                "12": of("12", json!({"business_key_": "bk-1", "proc_def_id_": "order:3:7", "start_time_": "2026-01-01T00:00:00",
                    "end_time_": "2026-01-01T00:01:01.5", "duration_": 61_500, "start_user_id_": "kermit", "start_act_id_": "start",
                    "end_act_id_": "done", "tenant_id_": "acme", "name_": "Order 12", "callback_id_": "c", "callback_type_": "ct",
                    "reference_id_": "r", "reference_type_": "rt", "propagated_stage_inst_id_": "ps", "state_": "completed"})),
                "30": of("30", json!({"proc_def_id_": "sub:1:9", "start_time_": "2026-01-01T00:00:02", "tenant_id_": "",
                    "super_process_instance_id_": "12", "state_": "running"})),
                "40": of("40", json!({"proc_def_id_": "order:3:7", "start_time_": "2026-01-01T00:00:00",
                    "end_time_": "2026-01-01T00:00:00.001", "duration_": 1, "tenant_id_": "", "delete_reason_": "by hand",
                    "end_user_id_": "fozzie", "state_": "cancelled"})),
                "50": of("50", json!({"tenant_id_": "", "state_": "running"})),
            }),
        ),
        (
            "act_hi_actinst",
            json!({
                "a1": of("12", json!({"execution_id_": "13", "act_type_": "startEvent", "tenant_id_": "", "proc_def_id_": "order:3:7",
                    "act_id_": "start", "start_time_": "2026-01-01T00:00:00", "end_time_": "2026-01-01T00:00:00", "duration_": 0,
                    "transaction_order_": 1})),
                "a2": of("12", task),
                "a3": call(json!({"act_id_": "call", "call_proc_inst_id_": "30"})),
                "a5": call(json!({"act_id_": "callMore", "call_proc_inst_id_": "31", "delete_reason_": "boundary event (timer)",
                    "end_time_": "2026-01-01T00:00:02.001", "duration_": 1})),
                // It begins as one of Flowable's does.
                "cut": of("50", json!({"act_id_": "c", "tenant_id_": ""})),
                "odd": of("50", json!({"act_id_": "o", "act_type_": "[\"x\"]", "tenant_id_": "", "transaction_order_": 1_000_000_000})),
            }),
        ),
        (
            "act_hi_taskinst",
            json!({
                "t1": of("12", json!({"proc_def_id_": "order:3:7", "task_def_id_": "td", "task_def_key_": "approve", "execution_id_": "13",
                    "scope_id_": "s", "sub_scope_id_": "ss", "scope_type_": "st", "name_": "Approve", "parent_task_id_": "t0",
                    "description_": "what", "assignee_": "fozzie", "start_time_": "2026-01-01T00:00:00.005",
                    "claim_time_": "2026-01-01T00:00:30", "end_time_": "2026-01-01T00:01:00.005", "duration_": 60_000,
                    "delete_reason_": "done", "priority_": 50, "due_date_": "2026-01-02T00:00:00", "form_key_": "form",
                    "category_": "cat", "tenant_id_": "acme", "state_": "completed"})),
                "t2": of("12", json!({"name_": "Open", "tenant_id_": ""})),
                "odd": of("50", json!({"start_time_": "infinity", "end_time_": "2026-01-01T00:00:00", "tenant_id_": ""})),
            }),
        ),
        (
            "act_hi_varinst",
            json!({
                "v-total": of("12", json!({"rev_": 1, "execution_id_": "12", "name_": "total", "var_type_": "long",
                    "long_": 9_223_372_036_854_775_807_i64, "create_time_": "2026-01-01T00:00:00.1",
                    "last_updated_time_": "2026-01-01T00:00:00.2"})),
                "v-ratio": of("12", json!({"rev_": 0, "execution_id_": "13", "task_id_": "t1", "name_": "ratio", "var_type_": "double",
                    "scope_id_": "s", "sub_scope_id_": "ss", "scope_type_": "st", "double_": 0.25, "text_": "t", "text2_": "t2",
                    "meta_info_": "mi", "create_time_": "2026-01-01T00:00:00.1"})),
                "v-bare": of("12", json!({"execution_id_": "14", "name_": "bare", "var_type_": "null",
                    "create_time_": "2026-01-01T00:00:00.1"})),
                "v-odd": of("50", json!({"execution_id_": "[\"x\"]", "name_": "odd", "var_type_": "long",
                    "create_time_": "2026-01-01T00:00:00.1"})),
            }),
        ),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_an_engine_come_to_the_rows_that_it_has_itself_in_any_order() {
    for seed in 0..3 {
        let client = written(seed).await;
        for (view, wanted) in expected() {
            let rows = shown(&client, view).await;
            for (id, row) in wanted.as_object().unwrap() {
                assert_eq!(rows[id], *row, "{view} {id}, seed {seed}");
            }
            assert_eq!(
                rows.as_object().unwrap().len(),
                wanted.as_object().unwrap().len(),
                "{view}: {rows:#}"
            );
        }
    }
}

/// Columns as Flowable 8.0 makes them (`flowable.postgres.create.history.sql` and the scripts of tasks and variables), in no order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_views_have_the_columns_of_flowables_tables_and_two_more_at_the_end() {
    const COLUMNS: [(&str, &str); 4] = [
        (
            "act_hi_procinst",
            "id rev proc_inst_id business_key proc_def_id start_time end_time duration start_user_id start_act_id end_act_id \
             super_process_instance_id delete_reason tenant_id name callback_id callback_type reference_id reference_type \
             propagated_stage_inst_id business_status end_user_id state",
        ),
        (
            "act_hi_actinst",
            "id rev proc_def_id proc_inst_id execution_id act_id task_id call_proc_inst_id act_name act_type assignee start_time \
             end_time transaction_order duration delete_reason tenant_id completed_by",
        ),
        (
            "act_hi_taskinst",
            "id rev proc_def_id task_def_id task_def_key proc_inst_id execution_id scope_id sub_scope_id scope_type \
             scope_definition_id propagated_stage_inst_id name parent_task_id description owner assignee start_time claim_time \
             end_time duration delete_reason priority due_date form_key category tenant_id last_updated_time state \
             in_progress_time in_progress_started_by claimed_by suspended_time suspended_by completed_by in_progress_due_date",
        ),
        (
            "act_hi_varinst",
            "id rev proc_inst_id execution_id task_id name var_type scope_id sub_scope_id scope_type bytearray_id double long text \
             text2 meta_info create_time last_updated_time",
        ),
    ];
    let client = connect(&servers::database().await).await;
    for (view, wanted) in COLUMNS {
        let sql = "SELECT string_agg(attname, ' ' ORDER BY attnum) FROM pg_attribute
            WHERE attrelid = ('flowable.' || $1::text)::regclass AND attnum > 0";
        let found: String = client.query_one(sql, &[&view]).await.unwrap().get(0);
        let wanted: Vec<String> = wanted.split_whitespace().map(|column| format!("{column}_")).collect();
        assert_eq!(found, format!("{} source_ flowinstanceid", wanted.join(" ")), "{view}");
    }
}

/// Instances of an engine, each with five activities, a task and three variables; and twice as many flows of others, whose
/// steps say something else.
const MANY: &str = r#"
    INSERT INTO flowstate (flowinstanceid, hostid, phase, starttime, endtime)
        SELECT 'flowable:' || n, '', 2, start, start + interval '1 s'
        FROM generate_series(1, 4000) n, LATERAL (SELECT timestamp '2026-01-01' + n * interval '1 minute' AS start) s
        UNION ALL SELECT 'other' || n, '', 2, timestamp '2026-01-01' + n * interval '30 s', NULL FROM generate_series(1, 8000) n;
    INSERT INTO steps (flowinstanceid, stepid, taskname, phase, starttime, misc)
        SELECT flowinstanceid, flowinstanceid || '-' || s, 'task', 2, starttime,
            CASE WHEN starts_with(flowinstanceid, 'flowable:') THEN convert_to('{"activityType":"userTask"}', 'UTF8') END
        FROM flowstate, generate_series(1, 5) s;
    INSERT INTO ft_variable (flowinstanceid, scope, name, run, revision, removed, value)
        SELECT flowinstanceid, scope, 'n' || n, 0, 1, false, convert_to('{"name":"x"}', 'UTF8')
        FROM flowstate, unnest(ARRAY['', '@process', '@task:' || flowinstanceid]) scope, generate_series(1, 3) n
        WHERE starts_with(flowinstanceid, 'flowable:')"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_for_one_instance_or_for_a_day_reads_no_table_whole() {
    let client = connect(&servers::database().await).await;
    client.batch_execute(MANY).await.unwrap();
    client.batch_execute("VACUUM ANALYZE").await.unwrap();
    let of_one = ["procinst", "actinst", "taskinst", "varinst"]
        .into_iter()
        .zip([1, 5, 1, 3])
        .map(|(view, rows)| (view, "flowinstanceid = 'flowable:7'", rows));
    let day = "start_time_ >= '2026-01-02' AND start_time_ < '2026-01-02 01:00'";
    let of_a_day = [("procinst", day, 60), ("actinst", day, 300)];
    for (view, which, rows) in of_one.chain(of_a_day) {
        let ask = format!("SELECT * FROM flowable.act_hi_{view} WHERE {which}");
        assert_eq!(client.query(&ask, &[]).await.unwrap().len(), rows, "{ask}");
        let plan: Value =
            client.query_one(&format!("EXPLAIN (FORMAT JSON) {ask}"), &[]).await.unwrap().get(0);
        assert_eq!(read_whole(&plan[0]["Plan"]), [""; 0], "{ask}\n{plan:#}");
    }
    // This can fail.
    let plan = "EXPLAIN (FORMAT JSON) SELECT * FROM flowable.act_hi_procinst WHERE id_ = '7'";
    let plan: Value = client.query_one(plan, &[]).await.unwrap().get(0);
    assert_ne!(read_whole(&plan[0]["Plan"]), [""; 0], "{plan:#}");
}
