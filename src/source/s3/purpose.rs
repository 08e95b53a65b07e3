//! What a bucket is for, and what helps where it can't be used for that.

use crate::error::Error;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Songs and logs are read from it.
    Source,
    /// Generated songs and logs are put into it.
    Destination,
    /// Rows wait in it until Redshift has copied them.
    Stage,
}

impl Purpose {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Destination => "destination",
            Self::Stage => "stage",
        }
    }

    pub fn error(self, what: impl Into<String>) -> Error {
        match self {
            Self::Source | Self::Destination => Error::source(what),
            Self::Stage => Error::target(what),
        }
    }

    pub const fn bucket(self) -> &'static str {
        match self {
            Self::Source | Self::Destination => "check the bucket's name",
            Self::Stage => "make the bucket that --stage names, or name another one there",
        }
    }

    pub const fn rights(self) -> &'static str {
        match self {
            Self::Source => {
                "these credentials need s3:ListBucket and s3:GetObject here; \
                 for a public bucket pass --no-sign-request, for one whose readers pay --request-payer"
            }
            Self::Destination => "these credentials need s3:ListBucket and s3:PutObject here",
            Self::Stage => {
                "these credentials need s3:PutObject, s3:GetObject, s3:DeleteObject and s3:AbortMultipartUpload on the \
                 stage, s3:ListBucket and s3:ListBucketMultipartUploads on its bucket, and where a key of KMS encrypts \
                 the files kms:GenerateDataKey and kms:Decrypt"
            }
        }
    }

    pub const fn region(self) -> &'static str {
        match self {
            Self::Source | Self::Destination => {
                "the bucket is in another region: pass it with --region"
            }
            Self::Stage => {
                "the bucket of the stage is in another region: pass it with --stage-region"
            }
        }
    }

    pub const fn encryption(self) -> &'static str {
        match self {
            Self::Source | Self::Destination => {
                "see to it that the key of KMS is enabled and that these credentials may use it (kms:Decrypt to read, \
                 kms:GenerateDataKey to write)"
            }
            Self::Stage => {
                "check --stage-kms-key, and see to it that the key is enabled and that these credentials may use it"
            }
        }
    }

    pub const fn credentials(self) -> &'static str {
        match self {
            Self::Source => {
                "check the credentials (for a public bucket pass --no-sign-request), \
                 the region and --endpoint-url"
            }
            Self::Destination => "check the credentials, the region and --endpoint-url",
            Self::Stage => {
                "a stage is reached with credentials even where the source needs none: check them, \
                 --stage-region and --endpoint-url"
            }
        }
    }
}
