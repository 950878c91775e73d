"""Certificates ordered from an authority (RFC 8555): proven, renewed in time, and kept when that fails."""
