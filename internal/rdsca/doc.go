// Package rdsca gets the certificate authorities of Amazon RDS, as AWS publishes them. It promises that what it hands
// out came from AWS over a connection that was verified, now or earlier on this machine, and that a copy is used when
// AWS cannot be asked.
package rdsca
