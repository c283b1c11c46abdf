//! Compiles the expressions of a policy against the types of the kinds that it names.

use std::sync::Arc;

use cel::admission::{Types, typed_environment, with_variables};
use cel::{Env, Schema};
use k8s_openapi::api::admissionregistration::v1::{
    ExpressionWarning, ValidatingAdmissionPolicySpec,
};
use kube::Client;
use serde_json::json;

use super::kinds::{self, GroupVersionKind};
use super::schemas;
use crate::Error;

/// The types in a policy, as far as they are known.
pub(super) struct Checked {
    kinds: Vec<(GroupVersionKind, Arc<Schema>)>,
    params: Option<Arc<Schema>>,
}

impl Checked {
    /// Looks up the kinds of a policy. Those without a schema are left out.
    ///
    /// # Errors
    /// The API server cannot be asked.
    pub(super) async fn fetch(
        client: &Client,
        spec: &ValidatingAdmissionPolicySpec,
    ) -> Result<Self, Error> {
        let mut known = Vec::new();
        for kind in kinds::of(client, spec).await? {
            if let Some(schema) = shape(client, &kind).await? {
                known.push((kind, schema));
            }
        }
        let params = match &spec.param_kind {
            Some(kind) => {
                let text = |text: &Option<String>| text.clone().unwrap_or_default();
                let kind = GroupVersionKind::parse(&text(&kind.api_version), &text(&kind.kind));
                shape(client, &kind).await?
            }
            None => None,
        };
        Ok(Self { kinds: known, params })
    }

    /// A warning for each expression that does not compile for some of the kinds.
    pub(super) fn warnings(&self, spec: &ValidatingAdmissionPolicySpec) -> Vec<ExpressionWarning> {
        let environments: Vec<(&GroupVersionKind, Env)> =
            self.kinds.iter().map(|(kind, schema)| (kind, self.env(spec, schema))).collect();
        let mut found = Vec::new();
        for (at, validation) in spec.validations.iter().flatten().enumerate() {
            let message = validation.message_expression.as_deref().filter(|text| !text.is_empty());
            let expressions = [
                ("expression", Some(validation.expression.as_str())),
                ("messageExpression", message),
            ];
            for (field, expression) in expressions {
                let Some(expression) = expression else { continue };
                let issues: Vec<String> = environments
                    .iter()
                    .filter_map(|(kind, env)| {
                        let why = env.compile(expression).err()?;
                        (!why.is_instantiation()).then(|| format!("{kind}: {why}\n"))
                    })
                    .collect();
                if !issues.is_empty() {
                    found.push(ExpressionWarning {
                        field_ref: format!("spec.validations[{at}].{field}"),
                        warning: issues.join("\n"),
                    });
                }
            }
        }
        found
    }

    fn env(&self, spec: &ValidatingAdmissionPolicySpec, object: &Arc<Schema>) -> Env {
        let types = Types { object: Some(object.clone()), params: self.params.clone() };
        let env = typed_environment(spec.param_kind.is_some(), &types);
        let declared = spec.variables.iter().flatten();
        let variables: Vec<_> = declared
            .map(|variable| json!({"name": variable.name, "expression": variable.expression}))
            .collect();
        with_variables(&env, variables.iter()).0
    }
}

async fn shape(client: &Client, kind: &GroupVersionKind) -> Result<Option<Arc<Schema>>, Error> {
    let schema = schemas::of(client, kind).await?;
    let shape = schema.and_then(|schema| Schema::from_openapi(&schema, &kind.kind, false));
    Ok(shape.map(Arc::new))
}
