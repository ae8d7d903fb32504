//! Whose things are that an engine names by their own ids: found among the parts of records and the variables that are stored.

use tokio_postgres::Error;

use super::session::Session;
use crate::flowable::{
    identity::{Kind, Owner, Thing},
    variable::OF_VARIABLE,
};

/// By the scope of a part. Its words about scopes are those of the index.
const OF_PARTS: &str = "SELECT u.place, v.flowinstanceid FROM unnest($1::integer[], $2::text[], $3::text[]) \
        AS u(place, source, scope), \
    LATERAL (SELECT v.flowinstanceid FROM ft_variable v WHERE v.scope = u.scope \
        AND (v.scope LIKE '@step:%' OR v.scope LIKE '@task:%') \
        AND split_part(v.flowinstanceid, ':', 1) = u.source LIMIT 1) v";

/// By the id of a variable: its row or, where another one has its name by now, the part that says where it was created.
const OF_VARIABLES: &str = "SELECT u.place, v.flowinstanceid, v.scope, v.name, v.value \
    FROM unnest($1::integer[], $2::text[], $3::text[]) AS u(place, source, id), \
    LATERAL (SELECT v.flowinstanceid, v.scope, v.name, v.value FROM ft_variable v WHERE v.variableid = u.id \
        AND v.variableid IS NOT NULL AND split_part(v.flowinstanceid, ':', 1) = u.source LIMIT 1) v";

/// The owners of things, as far as they are stored.
pub async fn owners(session: &Session, things: &[Thing]) -> Result<Vec<(Thing, Owner)>, Error> {
    let mut asked = [Asked::default(), Asked::default()];
    for (place, thing) in (0..).zip(things) {
        let [parts, variables] = &mut asked;
        match thing.kind {
            Kind::Activity => parts.add(place, &thing.source, format!("@step:{}", thing.id)),
            Kind::Task => parts.add(place, &thing.source, format!("@task:{}", thing.id)),
            Kind::Variable => variables.add(place, &thing.source, thing.id.to_string()),
        }
    }
    let mut found = Vec::new();
    for (sql, Asked { places, sources, ids }) in [OF_PARTS, OF_VARIABLES].into_iter().zip(&asked) {
        if places.is_empty() {
            continue;
        }
        session.prepare_all([sql]).await?;
        for row in session.query(sql, &[places, sources, ids]).await? {
            let place: i32 = row.try_get(0)?;
            let flow: String = row.try_get(1)?;
            let mut variable = None;
            if row.len() > 2 {
                let Some(scope) = scope(row.try_get(2)?, row.try_get(4)?) else { continue };
                variable = Some([scope.into(), row.try_get::<_, String>(3)?.into()]);
            }
            let thing = usize::try_from(place).ok().and_then(|place| things.get(place));
            found.extend(thing.map(|thing| (thing.clone(), Owner { flow: flow.into(), variable })));
        }
    }
    Ok(found)
}

/// The scope of a variable, by that of its row or by what the row says where it is a part.
fn scope(of_row: String, value: Option<Vec<u8>>) -> Option<String> {
    if !of_row.starts_with(OF_VARIABLE) {
        return Some(of_row);
    }
    let said: serde_json::Value = serde_json::from_slice(&value?).ok()?;
    Some(said.get("scope")?.as_str()?.to_owned())
}

/// Things of one kind of place, as the parameters of a statement.
#[derive(Default)]
struct Asked<'a> {
    places: Vec<i32>,
    sources: Vec<&'a str>,
    ids: Vec<String>,
}

impl<'a> Asked<'a> {
    fn add(&mut self, place: i32, source: &'a str, id: String) {
        self.places.push(place);
        self.sources.push(source);
        self.ids.push(id);
    }
}
