#!/bin/sh
# Runs a test, a benchmark or an example without what its user's environment says of databases, buckets, accounts and
# proxies. Cargo does so for all of them (.cargo/config.toml); the program itself runs as it is called.
case $1 in
*/deps/* | */examples/*) ;;
*) exec "$@" ;;
esac

for name in $(awk 'BEGIN { for (name in ENVIRON) print name }'); do
    case $name in
    # What the tests themselves are told.
    SPARKLOAD_TEST_* | SPARKLOAD_SAMPLE) ;;
    PG* | AWS_* | SPARKLOAD_* | *_proxy | *_PROXY) unset "$name" ;;
    esac
done
AWS_CONFIG_FILE=/dev/null AWS_SHARED_CREDENTIALS_FILE=/dev/null AWS_EC2_METADATA_DISABLED=true
export AWS_CONFIG_FILE AWS_SHARED_CREDENTIALS_FILE AWS_EC2_METADATA_DISABLED
exec "$@"
