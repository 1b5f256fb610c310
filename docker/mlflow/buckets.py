"""Makes S3 buckets that are not there: `python buckets.py NAME ...`. Keys and address come from the environment."""

import sys

import boto3


def main() -> None:
    client = boto3.client("s3")
    there = {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}
    for name in sys.argv[1:]:
        if name not in there:
            client.create_bucket(Bucket=name)
        print(f"bucket {name}: {'there' if name in there else 'made'}")


main()
