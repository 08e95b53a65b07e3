//! Redshift Serverless, played: what its API reference says of the requests that are made, and no more.
//!
//! moto has none. That the real one behaves so is not shown by this.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// Namespaces and workgroups.
#[derive(Default)]
pub struct Serverless {
    namespaces: BTreeMap<String, Value>,
    workgroups: BTreeMap<String, Value>,
    tags: BTreeMap<String, Value>,
    snapshots: Vec<String>,
}

impl Serverless {
    /// Does what `action` asks for: status and body of the answer.
    pub fn answer(&mut self, action: &str, body: &str) -> (u16, String) {
        let asked: Value = serde_json::from_str(body).unwrap();
        let text = |name: &str| asked[name].as_str().unwrap_or_default().to_owned();
        let (namespace, workgroup) = (text("namespaceName"), text("workgroupName"));
        let done = match action {
            "CreateNamespace" => self.create_namespace(&namespace, &asked),
            "CreateWorkgroup" => self.create_workgroup(&workgroup, &asked),
            "GetNamespace" => found(&self.namespaces, "namespace", &namespace),
            "GetWorkgroup" => found(&self.workgroups, "workgroup", &workgroup),
            "UpdateNamespace" => {
                let there = self.namespaces.get_mut(&namespace).unwrap();
                there["iamRoles"] = roles(&asked["iamRoles"]);
                Ok(json!({}))
            }
            "UpdateWorkgroup" => {
                let there = self.workgroups.get_mut(&workgroup).unwrap();
                there["securityGroupIds"] = asked["securityGroupIds"].clone();
                Ok(json!({}))
            }
            "DeleteWorkgroup" => {
                let gone = found(&self.workgroups, "workgroup", &workgroup);
                self.workgroups.remove(&workgroup);
                gone
            }
            "DeleteNamespace" => {
                if self.workgroups.values().any(|it| it["namespaceName"] == namespace.as_str()) {
                    return refusal("ConflictException", "it has a workgroup");
                }
                self.snapshots.extend(asked["finalSnapshotName"].as_str().map(str::to_owned));
                let gone = found(&self.namespaces, "namespace", &namespace);
                self.namespaces.remove(&namespace);
                gone
            }
            "ListTagsForResource" => {
                let tags = self.tags.get(&text("resourceArn"));
                Ok(json!({ "tags": tags.cloned().unwrap_or_else(|| json!([])) }))
            }
            other => panic!("Redshift Serverless is not asked for {other}"),
        };
        match done {
            Ok(answer) => (200, answer.to_string()),
            Err(what) => refusal("ResourceNotFoundException", &what),
        }
    }

    fn create_namespace(&mut self, name: &str, asked: &Value) -> Result<Value, String> {
        let arn = format!("arn:aws:redshift-serverless:us-east-1:123456789012:namespace/{name}");
        self.tags.insert(arn.clone(), asked["tags"].clone());
        let namespace = json!({
            "namespaceName": name,
            "namespaceArn": arn,
            "adminUsername": asked["adminUsername"],
            "dbName": asked["dbName"],
            "iamRoles": roles(&asked["iamRoles"]),
            "status": "AVAILABLE",
        });
        self.namespaces.insert(name.to_owned(), namespace.clone());
        Ok(json!({ "namespace": namespace }))
    }

    fn create_workgroup(&mut self, name: &str, asked: &Value) -> Result<Value, String> {
        let arn = format!("arn:aws:redshift-serverless:us-east-1:123456789012:workgroup/{name}");
        self.tags.insert(arn.clone(), asked["tags"].clone());
        let mut workgroup: Map<_, _> = asked.as_object().cloned().unwrap_or_default();
        workgroup.remove("tags");
        workgroup.insert("workgroupArn".to_owned(), arn.into());
        workgroup.insert("status".to_owned(), "AVAILABLE".into());
        let address = format!("{name}.123456789012.us-east-1.redshift-serverless.amazonaws.com");
        let endpoint = json!({ "address": address, "port": asked["port"] });
        workgroup.insert("endpoint".to_owned(), endpoint);
        workgroup.entry("baseCapacity").or_insert_with(|| 128.into());
        self.workgroups.insert(name.to_owned(), workgroup.clone().into());
        Ok(json!({ "workgroup": workgroup }))
    }

    /// Makes both without tags.
    pub fn make_foreign(&mut self, name: &str) {
        let asked = json!({ "namespaceName": name, "tags": [], "iamRoles": [], "port": 5439 });
        self.create_namespace(name, &asked).unwrap();
        self.create_workgroup(name, &asked).unwrap();
    }
}

fn found(of: &BTreeMap<String, Value>, kind: &str, name: &str) -> Result<Value, String> {
    match of.get(name) {
        Some(there) => Ok(json!({ kind: there })),
        None => Err(format!("no {kind} {name}")),
    }
}

/// Roles as the service tells them.
fn roles(arns: &Value) -> Value {
    let arns = arns.as_array().into_iter().flatten().filter_map(Value::as_str);
    arns.map(|arn| format!("IamRole(applyStatus=in-sync, iamRoleArn={arn})")).collect()
}

fn refusal(code: &str, message: &str) -> (u16, String) {
    (400, json!({ "__type": code, "message": message }).to_string())
}
