//! A Flowable engine's own history tables, of whatever version: their rows as elements of its history, page by page.

use std::collections::HashSet;

use tokio_postgres::{Client, Error, types::Type};

/// Rows of one page: bytes of variables make them large.
const PAGE: i64 = 500;

/// What a field of an element is made from.
#[derive(Clone, Copy)]
enum Origin {
    /// A column as it is.
    Column(&'static str),
    /// A column that holds a time in the engine's zone.
    Time(&'static str),
    /// A column of the process definition.
    Definition(&'static str),
    /// Bytes that lie in a table of their own, by the column that names them.
    Bytes(&'static str),
}

use Origin::{Bytes, Column, Definition, Time};

/// One of its tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Table {
    /// `ACT_HI_PROCINST`
    Processes,
    /// `ACT_HI_ACTINST`
    Activities,
    /// `ACT_HI_TASKINST`
    Tasks,
    /// `ACT_HI_VARINST`
    Variables,
}

impl Table {
    /// All, in the order in which they are read.
    pub(crate) const ALL: [Self; 4] = [Self::Processes, Self::Activities, Self::Tasks, Self::Variables];

    /// Its name in the database.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Processes => "act_hi_procinst",
            Self::Activities => "act_hi_actinst",
            Self::Tasks => "act_hi_taskinst",
            Self::Variables => "act_hi_varinst",
        }
    }

    /// The type of the element that a row is, and when the row was last as it is: while it may change, now.
    fn says(self) -> (&'static str, &'static str) {
        match self {
            Self::Processes => (
                "CASE WHEN t.end_time_ IS NULL THEN 'process-instance-start' ELSE 'process-instance-end' END",
                "end_time_",
            ),
            Self::Activities => {
                ("CASE WHEN t.end_time_ IS NULL THEN 'activity-start' ELSE 'activity-full' END", "end_time_")
            }
            Self::Tasks => {
                ("CASE WHEN t.end_time_ IS NULL THEN 'task-created' ELSE 'task-ended' END", "end_time_")
            }
            Self::Variables => ("'variable-updated'", "last_updated_time_"),
        }
    }

    fn fields(self) -> &'static [(&'static str, Origin)] {
        match self {
            Self::Processes => &PROCESSES,
            Self::Activities => &ACTIVITIES,
            Self::Tasks => &TASKS,
            Self::Variables => &VARIABLES,
        }
    }
}

const PROCESSES: [(&str, Origin); 27] = [
    ("processInstanceId", Column("proc_inst_id_")),
    ("businessKey", Column("business_key_")),
    ("processDefinitionId", Column("proc_def_id_")),
    ("processDefinitionKey", Definition("key_")),
    ("processDefinitionName", Definition("name_")),
    ("processDefinitionVersion", Definition("version_")),
    ("processDefinitionCategory", Definition("category_")),
    ("deploymentId", Definition("deployment_id_")),
    ("startTime", Time("start_time_")),
    ("endTime", Time("end_time_")),
    ("startUserId", Column("start_user_id_")),
    ("endUserId", Column("end_user_id_")),
    ("startActivityId", Column("start_act_id_")),
    ("activityId", Column("end_act_id_")),
    ("superProcessInstanceId", Column("super_process_instance_id_")),
    ("deleteReason", Column("delete_reason_")),
    ("tenantId", Column("tenant_id_")),
    ("name", Column("name_")),
    ("callbackId", Column("callback_id_")),
    ("callbackType", Column("callback_type_")),
    ("referenceId", Column("reference_id_")),
    ("referenceType", Column("reference_type_")),
    ("propagatedStageInstanceId", Column("propagated_stage_inst_id_")),
    ("businessStatus", Column("business_status_")),
    ("state", Column("state_")),
    ("revision", Column("rev_")),
    ("id", Column("id_")),
];

const ACTIVITIES: [(&str, Origin); 16] = [
    ("runtimeActivityInstanceId", Column("id_")),
    ("processDefinitionId", Column("proc_def_id_")),
    ("processInstanceId", Column("proc_inst_id_")),
    ("executionId", Column("execution_id_")),
    ("activityId", Column("act_id_")),
    ("taskId", Column("task_id_")),
    ("calledProcessInstanceId", Column("call_proc_inst_id_")),
    ("activityName", Column("act_name_")),
    ("activityType", Column("act_type_")),
    ("assignee", Column("assignee_")),
    ("startTime", Time("start_time_")),
    ("endTime", Time("end_time_")),
    ("transactionOrder", Column("transaction_order_")),
    ("deleteReason", Column("delete_reason_")),
    ("tenantId", Column("tenant_id_")),
    ("completedBy", Column("completed_by_")),
];

const TASKS: [(&str, Origin); 34] = [
    ("id", Column("id_")),
    ("processDefinitionId", Column("proc_def_id_")),
    ("taskDefinitionId", Column("task_def_id_")),
    ("taskDefinitionKey", Column("task_def_key_")),
    ("processInstanceId", Column("proc_inst_id_")),
    ("executionId", Column("execution_id_")),
    ("scopeId", Column("scope_id_")),
    ("subScopeId", Column("sub_scope_id_")),
    ("scopeType", Column("scope_type_")),
    ("scopeDefinitionId", Column("scope_definition_id_")),
    ("propagatedStageInstanceId", Column("propagated_stage_inst_id_")),
    ("name", Column("name_")),
    ("parentTaskId", Column("parent_task_id_")),
    ("description", Column("description_")),
    ("owner", Column("owner_")),
    ("assignee", Column("assignee_")),
    ("createTime", Time("start_time_")),
    ("claimTime", Time("claim_time_")),
    ("endTime", Time("end_time_")),
    ("deleteReason", Column("delete_reason_")),
    ("priority", Column("priority_")),
    ("dueDate", Time("due_date_")),
    ("formKey", Column("form_key_")),
    ("category", Column("category_")),
    ("tenantId", Column("tenant_id_")),
    ("lastUpdatedTime", Time("last_updated_time_")),
    ("state", Column("state_")),
    ("inProgressTime", Time("in_progress_time_")),
    ("inProgressStartedBy", Column("in_progress_started_by_")),
    ("claimedBy", Column("claimed_by_")),
    ("suspendedTime", Time("suspended_time_")),
    ("suspendedBy", Column("suspended_by_")),
    ("completedBy", Column("completed_by_")),
    ("inProgressDueDate", Time("in_progress_due_date_")),
];

const VARIABLES: [(&str, Origin); 18] = [
    ("id", Column("id_")),
    ("revision", Column("rev_")),
    ("processInstanceId", Column("proc_inst_id_")),
    ("executionId", Column("execution_id_")),
    ("taskId", Column("task_id_")),
    ("name", Column("name_")),
    ("variableType", Column("var_type_")),
    ("scopeId", Column("scope_id_")),
    ("subScopeId", Column("sub_scope_id_")),
    ("scopeType", Column("scope_type_")),
    ("variableBytesValue", Bytes("bytearray_id_")),
    ("variableDoubleValue", Column("double_")),
    ("variableLongValue", Column("long_")),
    ("variableTextValue", Column("text_")),
    ("variableTextValue2", Column("text2_")),
    ("variableMetaInfo", Column("meta_info_")),
    ("createTime", Time("create_time_")),
    ("lastUpdatedTime", Time("last_updated_time_")),
];

/// A reader of one database, and of the tables that it has there.
#[derive(Debug)]
pub(crate) struct Engine {
    client: Client,
    zone: String,
    definitions: HashSet<String>,
    bytes: bool,
}

/// A page of a table: elements as JSON, each with the id of its row, ascending.
pub(crate) type Page = Vec<(String, String)>;

impl Engine {
    /// Of the tables that the session finds, whose times are of that zone, as Postgres names zones.
    pub(crate) async fn new(client: Client, zone: &str) -> Result<Self, Error> {
        client.batch_execute("SET timezone = 'UTC'; SET default_transaction_read_only = on").await?;
        // A zone that there is not is better known of now.
        client.query_typed("SELECT now() AT TIME ZONE $1::text", &[(&zone, Type::TEXT)]).await?;
        let mut engine = Self { client, zone: zone.to_owned(), definitions: HashSet::new(), bytes: false };
        engine.definitions = engine.columns("act_re_procdef").await?;
        engine.bytes = engine.columns("act_ge_bytearray").await?.contains("bytes_");
        Ok(engine)
    }

    /// The statement that reads pages of a table; nothing where there is no such table.
    pub(crate) async fn statement(&self, table: Table) -> Result<Option<String>, Error> {
        let columns = self.columns(table.name()).await?;
        Ok(columns.contains("id_").then(|| self.sql(table, &columns)))
    }

    /// The rows behind an id, up to a page of them.
    pub(crate) async fn page(&self, statement: &str, after: &str) -> Result<Page, Error> {
        let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 3] =
            [(&after, Type::TEXT), (&PAGE, Type::INT8), (&self.zone, Type::TEXT)];
        let rows = self.client.query_typed(statement, &parameters).await?;
        rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
    }

    /// The columns of a table; none where there is no such table.
    async fn columns(&self, table: &str) -> Result<HashSet<String>, Error> {
        const SQL: &str = "SELECT attname::text FROM pg_attribute \
            WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped";
        let rows = self.client.query_typed(SQL, &[(&table, Type::TEXT)]).await?;
        rows.iter().map(|row| row.try_get(0)).collect()
    }

    fn sql(&self, table: Table, columns: &HashSet<String>) -> String {
        let time = |column: &str| {
            format!("to_char(t.{column} AT TIME ZONE $3::text, 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')")
        };
        let mut fields = Vec::new();
        for (name, from) in table.fields() {
            let value = match from {
                Column(column) if columns.contains(*column) => format!("t.{column}"),
                Time(column) if columns.contains(*column) => time(column),
                Bytes(column) if columns.contains(*column) && self.bytes => {
                    format!(
                        "(SELECT encode(b.bytes_, 'base64') FROM act_ge_bytearray b WHERE b.id_ = t.{column})"
                    )
                }
                Definition(column) if self.definitions.contains(*column) => {
                    format!("(SELECT d.{column} FROM act_re_procdef d WHERE d.id_ = t.proc_def_id_)")
                }
                _ => continue,
            };
            fields.push(format!("'{name}', {value}"));
        }
        let (kind, settled) = table.says();
        // Older versions say of a variable only when it was created.
        let settled = if columns.contains(settled) { time(settled) } else { "NULL".to_owned() };
        let now = "to_char(now(), 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')";
        fields.push(format!("'__timeStamp', COALESCE({settled}, {now})"));
        format!(
            "SELECT t.id_::text, json_build_object('type', {kind}, 'data', json_strip_nulls(json_build_object({})))::text \
             FROM {} t WHERE t.id_ > $1::text ORDER BY t.id_ LIMIT $2::bigint",
            fields.join(", "),
            table.name()
        )
    }
}
