// Package awsdeploy holds the tests of what deploys the product on AWS: the CDK app of deploy/cdk, and the task
// definitions and policies of deploy/ecs. It promises that the app's own tests pass and that it synthesizes without an
// account, that both ways say the same, and that a policy allows each call that the code of its half makes, and no other.
package awsdeploy
