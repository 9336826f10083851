// Package admin lets an operator see and change what a running noecho does, over HTTP: the server's side, and the client's
// that `noecho ctl` is made of.
//
//	GET  /v1/status   what it does, as JSON: see Status
//	PUT  /v1/mode     {"mode": "shadow"}, answered with {"mode": "shadow", "was": "active"}; POST is the same
//
// Errors are JSON too: {"error": "..."}.
//
// # Who may
//
// Whoever reaches the port; there is no login. So it listens on nothing unless told to, and is meant for loopback. What loopback
// does not keep out is the browser of somebody who sits at this machine: any page it shows can send requests here.
//
//   - A form, or a script that may not ask first, cannot send application/json; nothing else is taken.
//   - A browser says who asks (Origin, Sec-Fetch-Site). There is no page of ours, so whatever says it is refused.
//   - A page whose name was made to point here (DNS rebinding) is of the same origin in the browser's eyes, but carries that
//     name in Host. Only addresses, localhost, and the name that was configured are taken.
//
// A Server is safe for concurrent use; so is a Client.
package admin
