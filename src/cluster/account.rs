//! The account: AWS's services, each with the same credentials and region.

use aws_config::retry::RetryConfig;

use super::ec2::Ec2;
use crate::error::{Error, Result};
use crate::source::{self, S3Options};

/// The services that a cluster is made with.
#[derive(Debug)]
pub(super) struct Account {
    pub iam: aws_sdk_iam::Client,
    pub redshift: aws_sdk_redshift::Client,
    pub serverless: aws_sdk_redshiftserverless::Client,
    pub ec2: Ec2,
}

impl Account {
    /// The account that is reached in this way.
    ///
    /// # Errors
    ///
    /// Nothing says which region, or what the configuration of AWS's tools says can't be used.
    pub async fn reach(aws: &S3Options) -> Result<Self> {
        // Only buckets can be public.
        let signed = S3Options { no_sign_request: false, ..aws.clone() };
        let source::Account { shared, bundle } = source::Account::reach(&signed).await?;
        if shared.region().is_none() {
            return Err(Error::config("nothing says in which region the cluster is")
                .with_help("name it with --region, AWS_REGION or the profile"));
        }
        let shared = shared.into_builder().retry_config(RetryConfig::standard()).build();
        Ok(Self {
            iam: aws_sdk_iam::Client::new(&shared),
            redshift: aws_sdk_redshift::Client::new(&shared),
            serverless: aws_sdk_redshiftserverless::Client::new(&shared),
            ec2: Ec2::new(&shared, bundle.as_ref()),
        })
    }
}
