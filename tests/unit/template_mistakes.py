"""Mistakes in a client's template, each as somebody might make it, and what the review says of it."""

from __future__ import annotations

from template_changes import (
    BROKER,
    BROKER_ROLE,
    EXECUTION,
    KICKOFF,
    OTHER,
    SERVER_ROOT,
    STOPPER,
    SWEEPER,
    Change,
    add,
    arn,
    external_id,
    grant,
    job,
    logical_id,
    negated,
    objects,
    put,
    redefine,
    resource,
    statement,
    trust,
    unlocked,
    without,
)

# What the issue names: mistakes of policies, a wildcard endpoint, an unbounded broker, an impatient stopper.
ACCEPTANCE: dict[str, tuple[Change, str]] = {
    "the server needs no external id": (
        lambda t: without(trust(t, "KickoffRole7"), "Condition", "StringEquals"),
        "account 111111111111 may call sts:AssumeRole on arn:aws:iam::222222222222:role/FL-kickoff",
    ),
    "anybody may take the kickoff role": (
        lambda t: put(trust(t, "KickoffRole7"), {"AWS": "*"}, "Principal"),
        "anybody may call sts:AssumeRole",
    ),
    "another account may take it": (
        lambda t: put(
            trust(t, "KickoffRole7"), {"AWS": [SERVER_ROOT, f"arn:aws:iam::{OTHER}:root"]}, "Principal"
        ),
        f"account {OTHER} may call sts:AssumeRole",
    ),
    "the server may stop every execution": (
        lambda t: put(
            statement(t, KICKOFF, "WatchAndStopBroker"), "arn:aws:states:*:*:execution:*", "Resource"
        ),
        "may call states:StopExecution on arn:aws:states:eu-west-1:222222222222:execution:another:run",
    ),
    "the server may read the data": (
        lambda t: grant(t, KICKOFF, "s3:GetObject", objects(t, "StorageData")),
        "may call s3:GetObject on arn:aws:s3:::<data bucket>/train/data.csv",
    ),
    "the job may use keys of others": (
        lambda t: put(statement(t, EXECUTION, "DataOnS3"), "*", "Resource"),
        "<job role> may call kms:Decrypt on arn:aws:kms:eu-west-1:222222222222:key/another",
    ),
    "the broker may pass on any role": (
        lambda t: put(statement(t, BROKER_ROLE, "PassExecutionRole"), "*", "Resource"),
        "may call iam:PassRole on arn:aws:iam::222222222222:role/administrator",
    ),
    "the data bucket is open to the server's account": (
        lambda t: grant(
            t, "StorageDataPolicy", "s3:*", objects(t, "StorageData"), Principal={"AWS": SERVER_ROOT}
        ),
        "account 111111111111 may call s3:GetObject on arn:aws:s3:::<data bucket>/train/data.csv",
    ),
    "the server may use the data key": (
        lambda t: grant(t, "KeysData", "kms:Decrypt", "*", Principal={"AWS": SERVER_ROOT}),
        "account 111111111111 may call kms:Decrypt on arn:aws:kms:eu-west-1:222222222222:key/<data key>",
    ),
    "the image is of no digest": (
        lambda t: job(
            t,
            lambda r: put(
                r,
                f"{OTHER}.dkr.ecr.eu-west-1.amazonaws.com/mine:latest",
                "AlgorithmSpecification",
                "TrainingImage",
            ),
        ),
        f"The image {OTHER}.dkr.ecr.eu-west-1.amazonaws.com/mine:latest is not pinned",
    ),
    "the privacy policy is what the server says": (
        lambda t: job(
            t,
            lambda r: put(
                r, "{% $states.context.Execution.Input.updates %}", "HyperParameters", "privacy-updates"
            ),
        ),
        "privacy-updates is not pinned: it is computed as {% $states.context.Execution.Input.updates %}",
    ),
    "there is no privacy policy": (
        lambda t: job(t, lambda r: without(r, "HyperParameters", "privacy-updates")),
        "HyperParameters.privacy-updates is missing",
    ),
    "everything passes the S3 endpoint": (
        lambda t: grant(t, "NetworkVpcS3", "*", "*", Principal="*"),
        "anybody may call s3:GetObject on arn:aws:s3:::<data bucket>/train/data.csv",
    ),
    "any bucket passes the S3 endpoint": (
        lambda t: put(statement(t, "NetworkVpcS3", "OwnBuckets"), "*", "Resource"),
        "anybody may call s3:PutObject on arn:aws:s3:::a-bucket-of-somebody-else/data.csv",
    ),
    "the broker has no time-out": (
        lambda t: redefine(t, BROKER, lambda d: without(d, "TimeoutSeconds")),
        "the broker.TimeoutSeconds is missing",
    ),
    "a job may run for ever": (
        lambda t: job(t, lambda r: without(r, "StoppingCondition")),
        "StoppingCondition is missing",
    ),
    "a job may run for days": (
        lambda t: job(t, lambda r: put(r, 432000, "StoppingCondition", "MaxRuntimeInSeconds")),
        "The job may run for 432000 seconds",
    ),
    "the broker takes no lock": (
        lambda t: redefine(
            t, BROKER, lambda d: put(d["States"]["LockIsFree"]["Choices"][1], "StartJob", "Next")
        ),
        "One run at a time, and only so many a day",
    ),
    "the broker has no lock at all": (
        lambda t: redefine(t, BROKER, unlocked),
        "the broker.States.TakeLock is missing. One run at a time",
    ),
    "the server starts as many runs as it likes": (
        lambda t: redefine(t, BROKER, lambda d: d["States"]["LockIsFree"]["Choices"].pop(0)),
        "only so many a day",
    ),
    "the stopper stops once, or not": (
        lambda t: redefine(t, STOPPER, lambda d: without(d, "States", "StopJob", "Retry")),
        "the stopper.States.StopJob.Retry is missing. A throttled call must not leave a job",
    ),
    "the stopper looks once": (
        lambda t: redefine(t, STOPPER, lambda d: without(d, "States", "DescribeJob", "Retry")),
        "the stopper.States.DescribeJob.Retry is missing. A job may be in the making",
    ),
}


# Others of the same kinds.
MORE: dict[str, tuple[Change, str]] = {
    "the external id is a pattern": (
        lambda t: external_id(t, {"StringLike": {"sts:ExternalId": "*"}}),
        "account 111111111111 may call sts:AssumeRole",
    ),
    "the external id counts only where there is one": (
        lambda t: external_id(t, {"StringEqualsIfExists": {"sts:ExternalId": "x"}}),
        "account 111111111111 may call sts:AssumeRole",
    ),
    "every role of the server's account may enter": (
        lambda t: put(
            trust(t, "KickoffRole7"),
            "arn:aws:iam::111111111111:role/*",
            "Condition",
            "ArnEquals",
            "aws:PrincipalArn",
        ),
        "account 111111111111 may call sts:AssumeRole",
    ),
    "a session may be tagged": (
        lambda t: put(trust(t, "KickoffRole7"), ["sts:AssumeRole", "sts:TagSession"], "Action"),
        "may call sts:TagSession",
    ),
    "an identity provider may enter": (
        lambda t: put(trust(t, "KickoffRole7"), {"Federated": "accounts.google.com"}, "Principal"),
        "Federated accounts.google.com may call",
    ),
    "the job's role is anybody's": (
        lambda t: put(trust(t, "JobExecutionRole2"), {"AWS": "*"}, "Principal"),
        "anybody may call sts:AssumeRole on arn:aws:iam::222222222222:role/<job role>",
    ),
    "the job's role is any account's jobs'": (
        lambda t: without(trust(t, "JobExecutionRole2"), "Condition", "StringEquals"),
        "service sagemaker.amazonaws.com may call sts:AssumeRole",
    ),
    "the job's role is any job's": (
        lambda t: put(
            trust(t, "JobExecutionRole2"),
            "arn:aws:sagemaker:eu-west-1:222222222222:training-job/*",
            "Condition",
            "ArnLike",
            "aws:SourceArn",
        ),
        "service sagemaker.amazonaws.com may call sts:AssumeRole",
    ),
    "a session lasts for half a day": (
        lambda t: put(resource(t, "KickoffRole7"), 43200, "MaxSessionDuration"),
        "may last longer than 3600 seconds",
    ),
    "the kickoff role is an administrator's": (
        lambda t: put(
            resource(t, "KickoffRole7"), ["arn:aws:iam::aws:policy/AdministratorAccess"], "ManagedPolicyArns"
        ),
        "arn:aws:iam::aws:policy/AdministratorAccess, which is not in this template",
    ),
    "an inline policy lets the server do all": (
        lambda t: put(
            resource(t, "KickoffRole7"),
            [
                {
                    "PolicyName": "All",
                    "PolicyDocument": {"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}},
                }
            ],
            "Policies",
        ),
        "may call s3:GetObject on arn:aws:s3:::<data bucket>/train/data.csv",
    ),
    "all but something is allowed": (
        lambda t: negated(statement(t, KICKOFF, "ReadMailbox"), "Action"),
        "It has NotAction, which this review does not know",
    ),
    "all resources but one": (
        lambda t: negated(statement(t, KICKOFF, "ReadMailbox"), "Resource"),
        "It has NotResource",
    ),
    "an unknown operator": (
        lambda t: put(statement(t, KICKOFF, "ReadMailbox"), {"BinaryEquals": {"x": "eA=="}}, "Condition"),
        "condition operator BinaryEquals",
    ),
    "the data may be listed": (
        lambda t: put(statement(t, KICKOFF, "ListMailbox"), arn(t, "StorageData"), "Resource"),
        "may call s3:ListBucket on arn:aws:s3:::<data bucket>",
    ),
    "the server may decrypt with the data key": (
        lambda t: put(statement(t, KICKOFF, "DecryptMailbox"), arn(t, "KeysData"), "Resource"),
        "may call kms:Decrypt on arn:aws:kms:eu-west-1:222222222222:key/<data key>",
    ),
    "the server may change the broker": (
        lambda t: grant(t, KICKOFF, "states:*", "*"),
        "may call states:StopExecution",
    ),
    "the job may open a network elsewhere": (
        lambda t: put(statement(t, EXECUTION, "AttachToOurSubnets"), "*", "Resource"),
        "may call ec2:CreateNetworkInterface",
    ),
    "the job may undo its privacy ledger": (
        lambda t: put(
            statement(t, EXECUTION, "AddToPrivacyLedger"), ["s3:PutObject", "s3:DeleteObject"], "Action"
        ),
        "may call s3:DeleteObject on arn:aws:s3:::<artifacts bucket>/privacy/00000000.json",
    ),
    "the job may write over its privacy ledger": (
        lambda t: without(statement(t, EXECUTION, "AddToPrivacyLedger"), "Condition"),
        "may call s3:PutObject on arn:aws:s3:::<artifacts bucket>/privacy/00000000.json",
    ),
    "anybody may write code": (
        lambda t: put(
            resource(t, "StorageCodePolicy")["PolicyDocument"],
            [
                s
                for s in resource(t, "StorageCodePolicy")["PolicyDocument"]["Statement"]
                if s.get("Sid") != "OnlyWriter"
            ],
            "Statement",
        ),
        "The code bucket does not refuse objects of others",
    ),
    "everybody may sign": (
        lambda t: put(
            resource(t, "JobSigningKey0"),
            {"Statement": resource(t, "JobSigningKey0")["KeyPolicy"]["Statement"][:1]},
            "KeyPolicy",
        ),
        "The signing key does not refuse signatures to others",
    ),
    "a bucket's policy speaks without TLS": (
        lambda t: resource(t, "StorageMailboxPolicy")["PolicyDocument"]["Statement"].pop(0),
        "The mailbox bucket does not refuse insecure transport",
    ),
    "a bucket may be public": (
        lambda t: put(
            resource(t, "StorageData6"), False, "PublicAccessBlockConfiguration", "RestrictPublicBuckets"
        ),
        "The data bucket does not block all public access",
    ),
    "the data are copied elsewhere": (
        lambda t: put(resource(t, "StorageData6"), {"Role": "x", "Rules": []}, "ReplicationConfiguration"),
        "ReplicationConfiguration, a property of AWS::S3::Bucket that this review does not know",
    ),
    "the mailbox is encrypted with the data key": (
        lambda t: put(
            resource(t, "StorageMailbox4")["BucketEncryption"]["ServerSideEncryptionConfiguration"][0],
            {"KMSMasterKeyID": arn(t, "KeysData"), "SSEAlgorithm": "aws:kms"},
            "ServerSideEncryptionByDefault",
        ),
        "The data key is also the mailbox's",
    ),
    "the endpoint has no policy": (
        lambda t: without(resource(t, "NetworkVpcS3"), "PolicyDocument"),
        "The endpoint of s3 has no policy",
    ),
    "whoever is in the network may sign": (
        lambda t: without(statement(t, "JobSigningKeyEndpointskms", "Sign"), "Condition"),
        "anybody may call kms:Sign",
    ),
    "somebody dials the job": (
        lambda t: put(
            resource(t, "JobJobGroup"),
            [{"CidrIp": "10.0.0.0/24", "IpProtocol": "tcp", "FromPort": 22, "ToPort": 22}],
            "SecurityGroupIngress",
        ),
        "It lets tcp 22 in from 10.0.0.0/24",
    ),
    "the job dials anybody": (
        lambda t: put(
            resource(t, "JobJobGroup"), [{"CidrIp": "0.0.0.0/0", "IpProtocol": "-1"}], "SecurityGroupEgress"
        ),
        "out to 0.0.0.0/0",
    ),
    "there is a way to the internet": (
        lambda t: add(t, "Gateway", "EC2::InternetGateway"),
        "Gateway: It is an AWS::EC2::InternetGateway, which this review does not know",
    ),
    "a route leads elsewhere": (
        lambda t: put(resource(t, "PeeringRouteToServer1"), "0.0.0.0/0", "DestinationCidrBlock"),
        "0.0.0.0/0",
    ),
    "a subnet gives public addresses": (
        lambda t: put(resource(t, "NetworkVpcIsolatedSubnet1Subnet"), True, "MapPublicIpOnLaunch"),
        "gets a public address",
    ),
    "somebody else accepts the peering": (
        lambda t: put(resource(t, "PeeringToServer"), f"arn:aws:iam::{OTHER}:role/x", "PeerRoleArn"),
        "It is not accepted by",
    ),
    "the code is another": (
        lambda t: redefine(
            t,
            BROKER,
            lambda d: put(
                d["States"]["BundleReviewed"]["Choices"][0], "{% $states.input = 'AAAA' %}", "Condition"
            ),
        ),
        "The broker admits code of another digest than the job is told",
    ),
    "any code is admitted": (
        lambda t: redefine(t, BROKER, lambda d: put(d, "ReadLock", "States", "BundleReviewed", "Default")),
        "Only code with the reviewed digest runs",
    ),
    "the data are where the server says": (
        lambda t: job(
            t,
            lambda r: put(
                r["InputDataConfig"][0]["DataSource"]["S3DataSource"],
                "{% $states.context.Execution.Input.uri %}",
                "S3Uri",
            ),
        ),
        "S3Uri is not pinned",
    ),
    "the job is told more": (
        lambda t: job(t, lambda r: put(r, "{% $states.context.Execution.Input.x %}", "HyperParameters", "x")),
        "HyperParameters.x is not part of the reviewed form",
    ),
    "the job runs what a container's entry point says": (
        lambda t: job(t, lambda r: put(r, ["/bin/sh"], "AlgorithmSpecification", "ContainerEntrypoint")),
        "ContainerEntrypoint is not part of the reviewed form",
    ),
    "the run id may be anything": (
        lambda t: redefine(
            t,
            BROKER,
            lambda d: put(d["States"]["InvitationWellFormed"]["Choices"][0], "{% true %}", "Condition"),
        ),
        "The server says three things, each in its form, and nothing else",
    ),
    "nobody asks whether the account takes part": (
        lambda t: redefine(t, BROKER, lambda d: put(d, "InvitationWellFormed", "StartAt")),
        "the broker.StartAt is InvitationWellFormed",
    ),
    "a withdrawn job goes on": (
        lambda t: redefine(
            t, BROKER, lambda d: put(d, "DescribeJob", "States", "StillParticipating", "Default")
        ),
        "A job stops when its account withdraws",
    ),
    "a state does something else": (
        lambda t: redefine(
            t,
            BROKER,
            lambda d: put(
                d,
                {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "End": True},
                "States",
                "More",
            ),
        ),
        "the broker.States.More is not part of the reviewed form",
    ),
    "nothing starts the stopper": (
        lambda t: put(resource(t, "BrokerStopperBrokerEnded"), "DISABLED", "State"),
        "No rule starts the stopper",
    ),
    "the stopper misses those that fail": (
        lambda t: put(
            resource(t, "BrokerStopperBrokerEnded"), ["ABORTED"], "EventPattern", "detail", "status"
        ),
        "No rule starts the stopper",
    ),
    "the sweeper comes once a day": (
        lambda t: put(resource(t, "BrokerSweeperSchedule"), "rate(1 day)", "ScheduleExpression"),
        "No rule starts the sweeper at least once an hour",
    ),
    "the sweeper looks at other jobs": (
        lambda t: redefine(
            t, SWEEPER, lambda d: put(d, "x", "States", "ListJobs", "Arguments", "NameContains")
        ),
        "What the stopper missed is found later",
    ),
    "the participation switch is in the stack": (
        lambda t: add(
            t, "Switch", "SSM::Parameter", Name="/fedstack/cms/north/participation", Type="String", Value="on"
        ),
        "an update would undo a withdrawal",
    ),
    "alerts go to a machine": (
        lambda t: add(t, "Told", "SNS::Subscription", Protocol="https", Endpoint="https://x", TopicArn="x"),
        "Alerts go by https",
    ),
    "events go to another account": (
        lambda t: put(
            resource(t, "WatchAlertsJobFailed"),
            [{"Arn": f"arn:aws:events:eu-west-1:{OTHER}:event-bus/default", "Id": "x"}],
            "Targets",
        ),
        f"It sends events to arn:aws:events:eu-west-1:{OTHER}:event-bus/default",
    ),
    "logs may be read by others": (
        lambda t: add(t, "Open", "Logs::ResourcePolicy", PolicyName="x", PolicyDocument="{}"),
        "AWS::Logs::ResourcePolicy, which this review does not know",
    ),
    "the lock's table is another's": (
        lambda t: put(resource(t, "BrokerRunLock"), {"PolicyDocument": {}}, "ResourcePolicy"),
        "ResourcePolicy, a property of AWS::DynamoDB::Table",
    ),
    "the notebook starts with another script": (
        lambda t: put(
            resource(t, "DataPreparationNotebookLifecycle"),
            [{"Content": {"Fn::Base64": "#!/bin/sh\ncurl x"}}],
            "OnStart",
        ),
        "is not the one of this release",
    ),
    "the notebook is on the internet": (
        lambda t: put(resource(t, "DataPreparationNotebookInstance"), "Enabled", "DirectInternetAccess"),
        "direct access to the internet",
    ),
    "a role for nothing known": (
        lambda t: add(
            t,
            "More",
            "IAM::Role",
            AssumeRolePolicyDocument={
                "Statement": [
                    {
                        "Effect": "Allow",
                        "Principal": {"Service": "ec2.amazonaws.com"},
                        "Action": "sts:AssumeRole",
                    }
                ]
            },
        ),
        "The role is used by nothing that this review knows",
    ),
    "a second role for the server": (
        lambda t: put(
            t["Resources"],
            {
                **t["Resources"][logical_id(t, "KickoffRole")],
                "Properties": {**resource(t, "KickoffRole7"), "RoleName": "more"},
            },
            "More",
        ),
        "The role that the server takes is called more",
    ),
    "a policy of a role that is not here": (
        lambda t: put(resource(t, KICKOFF), ["administrator"], "Roles"),
        "It gives rights to the role administrator, which is not in this template",
    ),
    "a deployment is asked for more": (
        lambda t: put(t["Parameters"], {"Type": "String"}, "Principal"),
        "The deployment is asked for Principal (any text)",
    ),
    "a parameter may be any text": (
        lambda t: without(t["Parameters"], "ServerVpcId", "AllowedPattern"),
        "The deployment is asked for ServerVpcId (any text)",
    ),
    "a parameter is who may enter": (
        lambda t: put(trust(t, "KickoffRole7"), {"AWS": {"Ref": "ServerVpcId"}}, "Principal"),
        "account <parameter ServerVpcId> may call sts:AssumeRole",
    ),
    "a macro": (lambda t: put(t, "AWS::Serverless-2016-10-31", "Transform"), "a section Transform"),
    "a condition of the template": (
        lambda t: put(t, {"A": {"Fn::Equals": ["a", "a"]}}, "Conditions"),
        "a section Conditions",
    ),
    "a nested stack": (
        lambda t: add(t, "More", "CloudFormation::Stack", TemplateURL="https://x"),
        "AWS::CloudFormation::Stack, which this review does not know",
    ),
    "a custom resource": (
        lambda t: add(t, "More", "CloudFormation::CustomResource"),
        "AWS::CloudFormation::CustomResource",
    ),
    "a dynamic reference": (
        lambda t: put(
            trust(t, "KickoffRole7"), "{{resolve:ssm:x}}", "Condition", "StringEquals", "sts:ExternalId"
        ),
        "is looked up by AWS at deployment",
    ),
    "an unknown function": (
        lambda t: put(statement(t, KICKOFF, "ReadMailbox"), {"Fn::FindInMap": ["a", "b", "c"]}, "Resource"),
        "the function Fn::FindInMap",
    ),
    "a resource that comes under a condition": (
        lambda t: put(t["Resources"][logical_id(t, "KickoffRole")], "A", "Condition"),
        "an attribute Condition",
    ),
}
