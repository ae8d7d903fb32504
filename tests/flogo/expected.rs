//! What must be known of each flow after it has run, by hand from what Flogo's engine does:
//!
//! - step 0 starts the first task; each step after that ends one, in the order in which the engine takes tasks from its
//!   queue: the one that came last goes first.
//! - a call of a subflow is a step that waits (30), then the subflow's own steps under its number, then the step that ends
//!   the call. Subflows are numbered within the instance, nested ones too. A detached one is an instance of its own.
//! - each round of a loop is a step whose task goes on (20), and one more step ends the loop; a round that calls a subflow
//!   waits, and then has a step that ends (40).
//! - what is tried again is one step. Skipped tasks have no step.
//! - where a subflow fails, a step without any change comes before the one that ends the call.
//! - flow and task words are those of status numbers; a flow that failed has its declared outputs at zero.

/// A flow that is run, and what must be known of it afterwards.
#[derive(Debug)]
pub struct Flow {
    /// Name, and the path that it is run by.
    pub name: &'static str,
    /// What it is run with, JSON.
    pub input: &'static str,
    /// A gate that refuses, and how often.
    pub gate: Option<(&'static str, u32)>,
    /// Status and body of what the caller is answered.
    pub answer: (u16, &'static str),
    /// The flow's last status.
    pub status: &'static str,
    /// What it gave, JSON.
    pub output: &'static str,
    /// A line for each step: number, task, status, flow, subflow; `-` is nothing.
    pub steps: &'static str,
}

pub const BIG_ORDER: Flow = Flow {
    name: "order",
    input: r#"{"orderId":"o-1","amount":250}"#,
    gate: None,
    answer: (200, r#"{"orderId":"o-1","total":300}"#),
    status: "Completed",
    output: r#"{"code":200,"data":{"orderId":"o-1","total":300}}"#,
    steps: "
        0 CalcTotal    Started    order 0
        1 CalcTotal    Completed  order 0
        2 LogTotal     Completed  order 0
        3 BigDiscount  Completed  order 0
        4 Return       Completed  order 0",
};

pub const SMALL_ORDER: Flow = Flow {
    name: "order",
    input: r#"{"orderId":"o-2","amount":10}"#,
    gate: None,
    answer: (200, r#"{"orderId":"o-2","total":12}"#),
    status: "Completed",
    output: r#"{"code":200,"data":{"orderId":"o-2","total":12}}"#,
    steps: "
        0 CalcTotal    Started    order 0
        1 CalcTotal    Completed  order 0
        2 LogTotal     Completed  order 0
        3 NoDiscount   Completed  order 0
        4 Return       Completed  order 0",
};

pub const PARENT: Flow = Flow {
    name: "parent",
    input: r#"{"n":21}"#,
    gate: None,
    answer: (200, r#"{"doubled":42}"#),
    status: "Completed",
    output: r#"{"code":200,"data":{"doubled":42}}"#,
    steps: "
        0 Before       Started    parent 0
        1 Before       Completed  parent 0
        2 CallChild    Waiting    parent 0
        3 Double       Completed  child  1
        4 ChildReturn  Completed  child  1
        5 CallChild    Completed  parent 0
        6 After        Completed  parent 0
        7 Return       Completed  parent 0",
};

pub const NESTED: Flow = Flow {
    name: "nested",
    input: r#"{"n":4}"#,
    gate: None,
    answer: (200, r#"{"doubled":8}"#),
    status: "Completed",
    output: r#"{"code":200,"data":{"doubled":8}}"#,
    steps: "
        0 CallMiddle    Started    nested 0
        1 CallMiddle    Waiting    nested 0
        2 MiddleLog     Completed  middle 1
        3 CallChild2    Waiting    middle 1
        4 Double        Completed  child  2
        5 ChildReturn   Completed  child  2
        6 CallChild2    Completed  middle 1
        7 MiddleReturn  Completed  middle 1
        8 CallMiddle    Completed  nested 0
        9 Return        Completed  nested 0",
};

pub const FAIL: Flow = Flow {
    name: "fail",
    input: r#"{"why":"boom: ünïcode \"quoted\""}"#,
    gate: None,
    answer: (400, "boom: ünïcode \"quoted\""),
    status: "Failed",
    output: r#"{"code":0}"#,
    steps: "
        0 Before  Started    fail 0
        1 Before  Completed  fail 0
        2 Throw   Failed     fail 0",
};

pub const HANDLED: Flow = Flow {
    name: "handled",
    input: r#"{"why":"handled"}"#,
    gate: None,
    answer: (500, r#"{"error":"handled"}"#),
    status: "Completed",
    output: r#"{"code":500,"data":{"error":"handled"}}"#,
    steps: "
        0 Before     Started    handled 0
        1 Before     Completed  handled 0
        2 Throw      Failed     handled 0
        3 OnError    Completed  handled 0
        4 ErrReturn  Completed  handled 0",
};

pub const ERROR_LINK: Flow = Flow {
    name: "errlink",
    input: r#"{"why":"linked"}"#,
    gate: None,
    answer: (200, "ok"),
    status: "Completed",
    output: r#"{"code":200,"data":"ok"}"#,
    steps: "
        0 Throw    Started    errlink 0
        1 Throw    Failed     errlink 0
        2 ErrPath  Completed  errlink 0
        3 Return   Completed  errlink 0",
};

pub const SUBFLOW_FAILS: Flow = Flow {
    name: "subfail",
    input: r#"{"n":3}"#,
    gate: None,
    answer: (400, "child failed"),
    status: "Failed",
    output: r#"{"code":0}"#,
    steps: "
        0 Before       Started    subfail   0
        1 Before       Completed  subfail   0
        2 CallFailing  Waiting    subfail   0
        3 Double       Completed  childfail 1
        4 ChildThrow   Failed     childfail 1
        5 -            Unknown    -         -
        6 CallFailing  Failed     subfail   0",
};

/// The step without any change is in the middle here.
pub const SUBFLOW_HANDLED: Flow = Flow {
    name: "subhandled",
    input: r#"{"n":3}"#,
    gate: None,
    answer: (200, "child failed"),
    status: "Completed",
    output: r#"{"code":200,"data":"child failed"}"#,
    steps: "
        0 Before       Started    subhandled 0
        1 Before       Completed  subhandled 0
        2 CallFailing  Waiting    subhandled 0
        3 Double       Completed  childfail  1
        4 ChildThrow   Failed     childfail  1
        5 -            Unknown    -          -
        6 CallFailing  Failed     subhandled 0
        7 Recover      Completed  subhandled 0
        8 Return       Completed  subhandled 0",
};

pub const LOOP: Flow = Flow {
    name: "loop",
    input: r#"{"items":[1,2,3]}"#,
    gate: None,
    answer: (200, THREE_TENFOLD),
    status: "Completed",
    output: r#"{"code":200,"data":[
        {"detail":{"factor":10,"value":1},"result":10},
        {"detail":{"factor":10,"value":2},"result":20},
        {"detail":{"factor":10,"value":3},"result":30}]}"#,
    steps: "
        0 Before  Started    loop 0
        1 Before  Completed  loop 0
        2 Each    Started    loop 0
        3 Each    Started    loop 0
        4 Each    Started    loop 0
        5 Each    Completed  loop 0
        6 After   Completed  loop 0
        7 Return  Completed  loop 0",
};

/// What the rounds of the loop give, together.
pub const THREE_TENFOLD: &str = r#"[
    {"detail":{"factor":10,"value":1},"result":10},
    {"detail":{"factor":10,"value":2},"result":20},
    {"detail":{"factor":10,"value":3},"result":30}]"#;

pub const SUBFLOW_LOOP: Flow = Flow {
    name: "subloop",
    input: r#"{"items":[5,6]}"#,
    gate: None,
    answer: (200, "ok"),
    status: "Completed",
    output: r#"{"code":200,"data":"ok"}"#,
    steps: "
        0  EachChild    Started    subloop 0
        1  EachChild    Waiting    subloop 0
        2  Double       Completed  child   1
        3  ChildReturn  Completed  child   1
        4  EachChild    Completed  subloop 0
        5  EachChild    Waiting    subloop 0
        6  Double       Completed  child   2
        7  ChildReturn  Completed  child   2
        8  EachChild    Completed  subloop 0
        9  EachChild    Completed  subloop 0
        10 Return       Completed  subloop 0",
};

pub const GATED: Flow = Flow {
    name: "gated",
    input: r#"{"orderId":"open","amount":5}"#,
    gate: None,
    answer: (200, r#"{"after":12}"#),
    status: "Completed",
    output: r#"{"code":200,"data":{"after":12}}"#,
    steps: "
        0 CalcTotal  Started    gated 0
        1 CalcTotal  Completed  gated 0
        2 LogTotal   Completed  gated 0
        3 Gate       Completed  gated 0
        4 AfterGate  Completed  gated 0
        5 Return     Completed  gated 0",
};

pub const SHUT: Flow = Flow {
    name: "gated",
    input: r#"{"orderId":"shut","amount":10}"#,
    gate: Some(("shut", 1)),
    answer: (400, "gate 'shut' is closed"),
    status: "Failed",
    output: r#"{"code":0}"#,
    steps: "
        0 CalcTotal  Started    gated 0
        1 CalcTotal  Completed  gated 0
        2 LogTotal   Completed  gated 0
        3 Gate       Failed     gated 0",
};

pub const RETRY: Flow = Flow {
    name: "retry",
    input: r#"{"orderId":"retry-1"}"#,
    gate: Some(("retry-1", 1)),
    answer: (200, "ok"),
    status: "Completed",
    output: r#"{"code":200,"data":"ok"}"#,
    steps: "
        0 Before     Started    retry 0
        1 Before     Completed  retry 0
        2 RetryGate  Completed  retry 0
        3 Return     Completed  retry 0",
};

pub const FORK: Flow = Flow {
    name: "fork",
    input: r#"{"n":2}"#,
    gate: None,
    answer: (200, r#"{"l":4,"r":6}"#),
    status: "Completed",
    output: r#"{"code":200,"data":{"l":4,"r":6}}"#,
    steps: "
        0 Start   Started    fork 0
        1 Start   Completed  fork 0
        2 Right   Completed  fork 0
        3 Left    Completed  fork 0
        4 Return  Completed  fork 0",
};

/// Starts [`CHILD`] and does not wait for it.
pub const DETACHED: Flow = Flow {
    name: "detached",
    input: r#"{"n":8}"#,
    gate: None,
    answer: (202, "accepted"),
    status: "Completed",
    output: r#"{"code":202,"data":"accepted"}"#,
    steps: "
        0 FireAndForget  Started    detached 0
        1 FireAndForget  Completed  detached 0
        2 Return         Completed  detached 0",
};

/// As [`DETACHED`] calls it; nobody is answered.
pub const CHILD: Flow = Flow {
    name: "child",
    input: r#"{"n":8}"#,
    gate: None,
    answer: (0, ""),
    status: "Completed",
    output: r#"{"doubled":16}"#,
    steps: "
        0 Double       Started    child 0
        1 Double       Completed  child 0
        2 ChildReturn  Completed  child 0",
};

/// All that are run by a request of their own, but for [`DETACHED`].
pub const CALLED: [&Flow; 15] = [
    &BIG_ORDER,
    &SMALL_ORDER,
    &PARENT,
    &NESTED,
    &FAIL,
    &HANDLED,
    &ERROR_LINK,
    &SUBFLOW_FAILS,
    &SUBFLOW_HANDLED,
    &LOOP,
    &SUBFLOW_LOOP,
    &GATED,
    &SHUT,
    &RETRY,
    &FORK,
];
