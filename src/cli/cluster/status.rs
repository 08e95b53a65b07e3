//! `sparkload cluster status`: what is there of a cluster.

use std::io::{self, Write};
use std::process::ExitCode;

use sparkload::cluster::{self, Cluster, Owner, Role, Rule, SecurityGroup, Warehouse};

use super::super::args::Output;
use super::super::failure::Failure;
use super::super::output::{self, Align};
use super::settings::Status;

pub async fn run(job: Status) -> Result<ExitCode, Failure> {
    let Status { cluster, output } = job;
    let status = cluster::status(&cluster).await?;
    match output {
        Output::Json => output::json(&status)?,
        Output::Table => table(&cluster, &status)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn table(cluster: &Cluster, status: &cluster::Status) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if status.is_nothing() {
        return writeln!(out, "Nothing is there of {}.", cluster.name);
    }
    let cluster::Status { name, cluster: found, security_group, role } = status;
    let header = ["part", "name", "made by", "what it is"].map(|name| (name, Align::Left));
    let mut table = output::table(header);
    let missing = || (String::new(), "not there".to_owned());
    let (by, what) = found.as_ref().map_or_else(missing, |it| (owner(&it.owner), warehouse(it)));
    table.add_row(["cluster", name, &by, &what]);
    let (by, what) = security_group
        .as_ref()
        .map_or_else(missing, |SecurityGroup { owner: by, rules, .. }| {
            (owner(by), rules_of(rules))
        });
    table.add_row(["security group", &cluster.security_group(), &by, &what]);
    let (by, what) =
        role.as_ref().map_or_else(missing, |Role { owner: by, arn, .. }| (owner(by), arn.clone()));
    table.add_row(["role", &cluster.role, &by, &what]);
    output::write_table(&mut out, &table)
}

fn owner(owner: &Owner) -> String {
    match owner {
        Owner::Sparkload => "sparkload".to_owned(),
        Owner::AnotherCluster(mark) => format!("sparkload for {mark}"),
        Owner::Foreign => "someone else".to_owned(),
    }
}

fn warehouse(found: &Warehouse) -> String {
    let Warehouse { state, endpoint, size, database, user, secret, .. } = found;
    let mut what = vec![state.clone(), size.to_string()];
    what.extend(endpoint.as_ref().map(ToString::to_string));
    what.extend(database.as_ref().map(|database| format!("database {database}")));
    what.extend(user.as_ref().map(|user| format!("user {user}")));
    what.extend(secret.as_ref().map(|secret| format!("password in {secret}")));
    what.join(", ")
}

fn rules_of(rules: &[Rule]) -> String {
    let rules: Vec<_> = rules
        .iter()
        .map(|Rule { cidr, port, ours }| {
            let port = port.map_or_else(|| "any port".to_owned(), |port| format!("port {port}"));
            let by_hand = if *ours { "" } else { " (added by hand)" };
            format!("{cidr} to {port}{by_hand}")
        })
        .collect();
    if rules.is_empty() {
        "lets nobody in".to_owned()
    } else {
        format!("lets in {}", rules.join(", "))
    }
}
