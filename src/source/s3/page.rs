//! Pages: the answers to a listing, whether the SDK has read them or not.

use std::mem::take;

use aws_sdk_s3::config::interceptors::AfterDeserializationInterceptorContextRef;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output;
use aws_sdk_s3::types::{EncodingType, ObjectStorageClass};
use percent_encoding::percent_decode_str;

use super::{size, xml};

/// A part of a listing.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Page {
    pub found: Vec<Found>,
    /// Whether keys are percent-encoded.
    is_encoded: bool,
    /// What the next page is asked for with.
    pub token: Option<String>,
    /// Whether it says that more pages follow.
    is_truncated: Option<bool>,
}

/// An object that is listed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// As the page writes it.
    pub key: String,
    pub size: u64,
    pub etag: String,
    /// Whether it is in an archive and not restored, as far as the page tells.
    pub archived: bool,
}

impl Page {
    /// Reads an answer of S3's; `None` if it is another document.
    ///
    /// The SDK reads each one twice, and makes much of it that is not needed here.
    pub fn parse(text: &[u8]) -> Result<Option<Self>, BoxError> {
        Self::read(text).map_err(|cause| format!("the server's answer is broken: {cause}").into())
    }

    fn read(text: &[u8]) -> Result<Option<Self>, BoxError> {
        let mut page = Self::default();
        let mut found = Found::default();
        let mut is_restored = false;
        let is_listing = xml::read(text, "ListBucketResult", |depth, name, value| {
            match (depth, name) {
                (1, b"Contents") => {
                    found.archived &= !take(&mut is_restored);
                    page.found.push(take(&mut found));
                }
                (1, b"EncodingType") => page.is_encoded = value == "url",
                (1, b"IsTruncated") => page.is_truncated = Some(value.parse()?),
                (1, b"NextContinuationToken") => page.token = Some(take(value)),
                (2, b"Key") => found.key = take(value),
                (2, b"Size") => found.size = size(Some(value.parse()?)),
                (2, b"ETag") => found.etag = take(value),
                (2, b"StorageClass") => found.archived = is_archive(value),
                (3, b"RestoreExpiryDate") => is_restored = true,
                _ => {}
            }
            Ok(())
        })?;
        Ok(is_listing.then_some(page))
    }

    /// Whether more pages follow this one.
    pub fn is_truncated(&self) -> bool {
        self.is_truncated.unwrap_or(self.token.is_some())
    }

    /// The key that stands for an object as `written`; `None` if it is not UTF-8.
    pub fn key(&self, written: String) -> Option<String> {
        if self.is_encoded { decode(&written) } else { Some(written) }
    }
}

impl From<ListObjectsV2Output> for Page {
    fn from(output: ListObjectsV2Output) -> Self {
        let is_encoded = output.encoding_type() == Some(&EncodingType::Url);
        let found = output.contents.unwrap_or_default().into_iter().map(|object| {
            let restored = object.restore_status.and_then(|status| status.restore_expiry_date);
            let class = object.storage_class.as_ref().map(ObjectStorageClass::as_str);
            Found {
                key: object.key.unwrap_or_default(),
                size: size(object.size),
                etag: object.e_tag.unwrap_or_default(),
                archived: class.is_some_and(is_archive) && restored.is_none(),
            }
        });
        Self {
            found: found.collect(),
            is_encoded,
            token: output.next_continuation_token,
            is_truncated: output.is_truncated,
        }
    }
}

/// Whether objects of this storage class have to be restored before they can be read. Those that Intelligent-Tiering has
/// put into an archive can't be told from others.
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/archived-objects.html>
pub(super) fn is_archive(class: &str) -> bool {
    matches!(class, "GLACIER" | "DEEP_ARCHIVE")
}

/// Refuses a page without its end, which the SDK takes for a whole one.
#[derive(Debug)]
pub(super) struct Whole;

impl Intercept for Whole {
    fn name(&self) -> &'static str {
        "Whole"
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let response = context.response();
        if response.status().is_success()
            && let Some(text) = response.body().bytes()
        {
            Page::parse(text)?;
        }
        Ok(())
    }
}

/// Undoes `encoding-type=url`: percent escapes, and `+` for a space.
fn decode(key: &str) -> Option<String> {
    let spaced = key.replace('+', " ");
    Some(percent_decode_str(&spaced).decode_utf8().ok()?.into_owned())
}

#[cfg(test)]
mod tests {
    use aws_sdk_s3::Client;
    use aws_sdk_s3::config::http::{HttpRequest, HttpResponse};
    use aws_sdk_s3::config::retry::RetryConfig;
    use aws_sdk_s3::config::{BehaviorVersion, Builder, Region};
    use aws_sdk_s3::primitives::SdkBody;
    use aws_smithy_runtime_api::client::http::{
        HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
    };

    use proptest::prelude::*;

    use super::*;

    /// Answers every request with a document.
    #[derive(Debug, Clone)]
    struct Always(&'static str);

    impl HttpConnector for Always {
        fn call(&self, _: HttpRequest) -> HttpConnectorFuture {
            let response = HttpResponse::new(200.try_into().unwrap(), SdkBody::from(self.0));
            HttpConnectorFuture::ready(Ok(response))
        }
    }

    /// What the SDK reads out of a document; `None` where it can't.
    async fn read_by_sdk(document: &'static str) -> Option<Page> {
        let connector = SharedHttpConnector::new(Always(document));
        let config = Builder::new()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-west-1"))
            .allow_no_auth()
            .retry_config(RetryConfig::disabled())
            .http_client(http_client_fn(move |_, _| connector.clone()));
        let client = Client::from_conf(config.build());
        client.list_objects_v2().bucket("music").send().await.ok().map(Page::from)
    }

    #[tokio::test]
    async fn pages_are_read_as_the_sdk_reads_them() {
        let found = |key: &str, size, etag: &str| Found {
            key: key.to_owned(),
            size,
            etag: etag.to_owned(),
            archived: false,
        };
        let archived = |key| Found { archived: true, ..found(key, 1, "") };
        let (none, token) = (Page::default(), Some("a/b+==".to_owned()));
        let cases = [
            ("<ListBucketResult/>", Some(none)),
            (
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
                 <ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\n\
                 <Name>music</Name><Prefix>a</Prefix><MaxKeys>1000</MaxKeys><EncodingType>url</EncodingType>\n\
                 <IsTruncated>true</IsTruncated><NextContinuationToken>a/b+==</NextContinuationToken>\n\
                 <Contents><Key>a%20b</Key><LastModified>2018-11-01T00:00:00.000Z</LastModified>\n\
                 <ETag>&quot;e&quot;</ETag><Size>7</Size><Owner><ID>1</ID></Owner>\n\
                 <StorageClass>STANDARD</StorageClass></Contents>\n\
                 <CommonPrefixes><Prefix>c</Prefix></CommonPrefixes>\n\
                 <Contents><Size>0</Size><Key>b</Key><Key/></Contents>\n\
                 </ListBucketResult>\n",
                Some(Page {
                    found: vec![found("a%20b", 7, "\"e\""), found("", 0, "")],
                    is_encoded: true,
                    token,
                    is_truncated: Some(true),
                }),
            ),
            (
                "<ListBucketResult><IsTruncated>false</IsTruncated><NextContinuationToken/>\
                 <Contents><Key> a &amp;&#x20;&#228; </Key><Size>9223372036854775807</Size></Contents>\
                 </ListBucketResult>",
                Some(Page {
                    found: vec![found(" a & ä ", i64::MAX as u64, "")],
                    token: Some(String::new()),
                    is_truncated: Some(false),
                    ..Page::default()
                }),
            ),
            (
                "<ListBucketResult><Contents><Key>a</Key><Size>1</Size><StorageClass>GLACIER</StorageClass></Contents>\
                 <Contents><Key>b</Key><Size>1</Size><StorageClass>DEEP_ARCHIVE</StorageClass><RestoreStatus>\
                 <IsRestoreInProgress>true</IsRestoreInProgress></RestoreStatus></Contents>\
                 <Contents><Key>c</Key><Size>1</Size><RestoreStatus><IsRestoreInProgress>false</IsRestoreInProgress>\
                 <RestoreExpiryDate>2038-12-21T00:00:00.000Z</RestoreExpiryDate></RestoreStatus>\
                 <StorageClass>GLACIER</StorageClass></Contents>\
                 <Contents><Key>d</Key><Size>1</Size><StorageClass>GLACIER_IR</StorageClass></Contents>\
                 <Contents><Key>e</Key><Size>1</Size><StorageClass>GLACIER</StorageClass></Contents>\
                 </ListBucketResult>",
                Some(Page {
                    found: vec![
                        archived("a"),
                        archived("b"),
                        found("c", 1, ""),
                        found("d", 1, ""),
                        archived("e"),
                    ],
                    ..Page::default()
                }),
            ),
            ("<ListBucketResult><IsTruncated>no</IsTruncated></ListBucketResult>", None),
            ("<ListBucketResult><Contents><Size>x</Size></Contents></ListBucketResult>", None),
            ("<ListBucketResult><Contents><Key>&x;</Key></Contents></ListBucketResult>", None),
            ("<Error><Code>InternalError</Code></Error>", None),
            ("<html></html>", None),
            ("busy", None),
        ];
        for (document, expected) in cases {
            assert_eq!(read_by_sdk(document).await, expected, "{document}");
            assert_eq!(Page::parse(document.as_bytes()).ok().flatten(), expected, "{document}");
        }
    }

    #[test]
    fn a_page_without_its_end_is_none() {
        let page = "<ListBucketResult><Contents><Key>a&amp;</Key></Contents></ListBucketResult>";
        assert!(matches!(Page::parse(b""), Ok(None)));
        for end in 1..page.len() {
            assert!(Page::parse(&page.as_bytes()[..end]).is_err(), "{}", &page[..end]);
        }
        assert_eq!(Page::parse(page.as_bytes()).unwrap().unwrap().found[0].key, "a&");
        assert!(Page::parse(b"<ListBucketResult>\xff</ListBucketResult>").is_err());
    }

    proptest! {
        #[test]
        fn no_answer_brings_it_down(
            parts in prop::collection::vec(
                prop::sample::select(vec![
                    "<ListBucketResult>", "</ListBucketResult>", "<Contents>", "</Contents>", "<Contents/>", "<Key>",
                    "</Key>", "<Key/>", "<Size>", "</Size>", "-1", "a", " ", "&amp;", "&#0;", "&", "<![CDATA[", "]]>",
                    "<!--", "-->", "<?", "?>", "<!DOCTYPE", "<", ">", "\"",
                ]),
                0..12,
            ),
        ) {
            let whole = ["<ListBucketResult>", &parts.concat(), "</ListBucketResult>"].concat();
            for text in [parts.concat(), whole] {
                if let Ok(Some(page)) = Page::parse(text.as_bytes()) {
                    prop_assert!(page.found.len() <= text.matches("Contents").count());
                }
            }
        }
    }

    #[test]
    fn encoded_keys_are_decoded() {
        let cases = [
            ("plain/key.json", Some("plain/key.json")),
            ("a+b%2Bc%20d%25", Some("a b+c d%")),
            ("sp%C3%A4t%01", Some("spät\u{1}")),
            ("%C3", None),
        ];
        for (key, expected) in cases {
            assert_eq!(decode(key).as_deref(), expected, "{key}");
        }
    }
}
