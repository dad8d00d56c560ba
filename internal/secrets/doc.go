// Package secrets knows the places where the source's password may be kept: a file, AWS Secrets Manager, the Parameter
// Store of AWS Systems Manager, and nowhere, where IAM signs a token for each login. It promises that a password that
// was rotated is found without a restart, that one which is known goes on to be used while its place cannot be reached,
// that no password or token is ever in a message, and that every failure names the place and its cure.
package secrets
