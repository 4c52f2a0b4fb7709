"""The push service of stack/, under the name that these tests know it by."""

from stack.push_service import Device, PushService, base64url, push_service

__all__ = ["Device", "PushService", "base64url", "push_service"]
