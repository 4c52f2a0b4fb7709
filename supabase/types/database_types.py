from __future__ import annotations

import datetime
import uuid
from typing import (
    Annotated,
    Any,
    List,
    Literal,
    Optional,
    TypedDict,
)
from typing_extensions import NotRequired, TypeAlias

from pydantic import BaseModel, Field, JsonValue

PublicSessionRequestStatus: TypeAlias = Literal["pending", "accepted", "cancelled", "expired", "completed"]

PublicSessionType: TypeAlias = Literal["diagnostic", "chat", "video"]

class PublicCustomerFavorites(BaseModel):
    created_at: datetime.datetime = Field(alias="created_at")
    customer_id: uuid.UUID = Field(alias="customer_id")
    mechanic_id: uuid.UUID = Field(alias="mechanic_id")

class PublicCustomerFavoritesInsert(TypedDict):
    created_at: NotRequired[Annotated[datetime.datetime, Field(alias="created_at")]]
    customer_id: Annotated[uuid.UUID, Field(alias="customer_id")]
    mechanic_id: Annotated[uuid.UUID, Field(alias="mechanic_id")]

class PublicCustomerFavoritesUpdate(TypedDict):
    created_at: NotRequired[Annotated[datetime.datetime, Field(alias="created_at")]]
    customer_id: NotRequired[Annotated[uuid.UUID, Field(alias="customer_id")]]
    mechanic_id: NotRequired[Annotated[uuid.UUID, Field(alias="mechanic_id")]]

class PublicMechanics(BaseModel):
    brands: List[str] = Field(alias="brands")
    city: Optional[str] = Field(alias="city")
    country: Optional[str] = Field(alias="country")
    created_at: datetime.datetime = Field(alias="created_at")
    display_name: Optional[str] = Field(alias="display_name")
    id: uuid.UUID = Field(alias="id")
    is_online: bool = Field(alias="is_online")
    status: Optional[str] = Field(alias="status")
    updated_at: datetime.datetime = Field(alias="updated_at")

class PublicMechanicsInsert(TypedDict):
    brands: NotRequired[Annotated[List[str], Field(alias="brands")]]
    city: NotRequired[Annotated[Optional[str], Field(alias="city")]]
    country: NotRequired[Annotated[Optional[str], Field(alias="country")]]
    created_at: NotRequired[Annotated[datetime.datetime, Field(alias="created_at")]]
    display_name: NotRequired[Annotated[Optional[str], Field(alias="display_name")]]
    id: Annotated[uuid.UUID, Field(alias="id")]
    is_online: NotRequired[Annotated[bool, Field(alias="is_online")]]
    status: NotRequired[Annotated[Optional[str], Field(alias="status")]]
    updated_at: NotRequired[Annotated[datetime.datetime, Field(alias="updated_at")]]

class PublicMechanicsUpdate(TypedDict):
    brands: NotRequired[Annotated[List[str], Field(alias="brands")]]
    city: NotRequired[Annotated[Optional[str], Field(alias="city")]]
    country: NotRequired[Annotated[Optional[str], Field(alias="country")]]
    created_at: NotRequired[Annotated[datetime.datetime, Field(alias="created_at")]]
    display_name: NotRequired[Annotated[Optional[str], Field(alias="display_name")]]
    id: NotRequired[Annotated[uuid.UUID, Field(alias="id")]]
    is_online: NotRequired[Annotated[bool, Field(alias="is_online")]]
    status: NotRequired[Annotated[Optional[str], Field(alias="status")]]
    updated_at: NotRequired[Annotated[datetime.datetime, Field(alias="updated_at")]]

class PublicServicePlans(BaseModel):
    code: str = Field(alias="code")
    currency: str = Field(alias="currency")
    is_active: bool = Field(alias="is_active")
    price_cents: int = Field(alias="price_cents")
    session_type: PublicSessionType = Field(alias="session_type")
    title: str = Field(alias="title")

class PublicServicePlansInsert(TypedDict):
    code: Annotated[str, Field(alias="code")]
    currency: NotRequired[Annotated[str, Field(alias="currency")]]
    is_active: NotRequired[Annotated[bool, Field(alias="is_active")]]
    price_cents: Annotated[int, Field(alias="price_cents")]
    session_type: Annotated[PublicSessionType, Field(alias="session_type")]
    title: Annotated[str, Field(alias="title")]

class PublicServicePlansUpdate(TypedDict):
    code: NotRequired[Annotated[str, Field(alias="code")]]
    currency: NotRequired[Annotated[str, Field(alias="currency")]]
    is_active: NotRequired[Annotated[bool, Field(alias="is_active")]]
    price_cents: NotRequired[Annotated[int, Field(alias="price_cents")]]
    session_type: NotRequired[Annotated[PublicSessionType, Field(alias="session_type")]]
    title: NotRequired[Annotated[str, Field(alias="title")]]

class PublicSessionRequests(BaseModel):
    accepted_at: Optional[datetime.datetime] = Field(alias="accepted_at")
    created_at: datetime.datetime = Field(alias="created_at")
    customer_city: Optional[str] = Field(alias="customer_city")
    customer_country: Optional[str] = Field(alias="customer_country")
    customer_email: Optional[str] = Field(alias="customer_email")
    customer_id: uuid.UUID = Field(alias="customer_id")
    customer_name: Optional[str] = Field(alias="customer_name")
    expires_at: Optional[datetime.datetime] = Field(alias="expires_at")
    extracted_keywords: Optional[List[str]] = Field(alias="extracted_keywords")
    id: uuid.UUID = Field(alias="id")
    is_follow_up: bool = Field(alias="is_follow_up")
    is_urgent: bool = Field(alias="is_urgent")
    mechanic_id: Optional[uuid.UUID] = Field(alias="mechanic_id")
    metadata: JsonValue = Field(alias="metadata")
    notes: Optional[str] = Field(alias="notes")
    notification_sent_at: Optional[datetime.datetime] = Field(alias="notification_sent_at")
    plan_code: Optional[str] = Field(alias="plan_code")
    preferred_mechanic_id: Optional[uuid.UUID] = Field(alias="preferred_mechanic_id")
    preferred_workshop_id: Optional[uuid.UUID] = Field(alias="preferred_workshop_id")
    priority_notified_at: Optional[datetime.datetime] = Field(alias="priority_notified_at")
    priority_window_minutes: Optional[int] = Field(alias="priority_window_minutes")
    request_type: Optional[str] = Field(alias="request_type")
    requested_brand: Optional[str] = Field(alias="requested_brand")
    session_type: PublicSessionType = Field(alias="session_type")
    status: PublicSessionRequestStatus = Field(alias="status")
    updated_at: datetime.datetime = Field(alias="updated_at")

class PublicSessionRequestsInsert(TypedDict):
    accepted_at: NotRequired[Annotated[Optional[datetime.datetime], Field(alias="accepted_at")]]
    created_at: NotRequired[Annotated[datetime.datetime, Field(alias="created_at")]]
    customer_city: NotRequired[Annotated[Optional[str], Field(alias="customer_city")]]
    customer_country: NotRequired[Annotated[Optional[str], Field(alias="customer_country")]]
    customer_email: NotRequired[Annotated[Optional[str], Field(alias="customer_email")]]
    customer_id: Annotated[uuid.UUID, Field(alias="customer_id")]
    customer_name: NotRequired[Annotated[Optional[str], Field(alias="customer_name")]]
    expires_at: NotRequired[Annotated[Optional[datetime.datetime], Field(alias="expires_at")]]
    extracted_keywords: NotRequired[Annotated[Optional[List[str]], Field(alias="extracted_keywords")]]
    id: NotRequired[Annotated[uuid.UUID, Field(alias="id")]]
    is_follow_up: NotRequired[Annotated[bool, Field(alias="is_follow_up")]]
    is_urgent: NotRequired[Annotated[bool, Field(alias="is_urgent")]]
    mechanic_id: NotRequired[Annotated[Optional[uuid.UUID], Field(alias="mechanic_id")]]
    metadata: NotRequired[Annotated[JsonValue, Field(alias="metadata")]]
    notes: NotRequired[Annotated[Optional[str], Field(alias="notes")]]
    notification_sent_at: NotRequired[Annotated[Optional[datetime.datetime], Field(alias="notification_sent_at")]]
    plan_code: NotRequired[Annotated[Optional[str], Field(alias="plan_code")]]
    preferred_mechanic_id: NotRequired[Annotated[Optional[uuid.UUID], Field(alias="preferred_mechanic_id")]]
    preferred_workshop_id: NotRequired[Annotated[Optional[uuid.UUID], Field(alias="preferred_workshop_id")]]
    priority_notified_at: NotRequired[Annotated[Optional[datetime.datetime], Field(alias="priority_notified_at")]]
    priority_window_minutes: NotRequired[Annotated[Optional[int], Field(alias="priority_window_minutes")]]
    request_type: NotRequired[Annotated[Optional[str], Field(alias="request_type")]]
    requested_brand: NotRequired[Annotated[Optional[str], Field(alias="requested_brand")]]
    session_type: Annotated[PublicSessionType, Field(alias="session_type")]
    status: NotRequired[Annotated[PublicSessionRequestStatus, Field(alias="status")]]
    updated_at: NotRequired[Annotated[datetime.datetime, Field(alias="updated_at")]]

class PublicSessionRequestsUpdate(TypedDict):
    accepted_at: NotRequired[Annotated[Optional[datetime.datetime], Field(alias="accepted_at")]]
    created_at: NotRequired[Annotated[datetime.datetime, Field(alias="created_at")]]
    customer_city: NotRequired[Annotated[Optional[str], Field(alias="customer_city")]]
    customer_country: NotRequired[Annotated[Optional[str], Field(alias="customer_country")]]
    customer_email: NotRequired[Annotated[Optional[str], Field(alias="customer_email")]]
    customer_id: NotRequired[Annotated[uuid.UUID, Field(alias="customer_id")]]
    customer_name: NotRequired[Annotated[Optional[str], Field(alias="customer_name")]]
    expires_at: NotRequired[Annotated[Optional[datetime.datetime], Field(alias="expires_at")]]
    extracted_keywords: NotRequired[Annotated[Optional[List[str]], Field(alias="extracted_keywords")]]
    id: NotRequired[Annotated[uuid.UUID, Field(alias="id")]]
    is_follow_up: NotRequired[Annotated[bool, Field(alias="is_follow_up")]]
    is_urgent: NotRequired[Annotated[bool, Field(alias="is_urgent")]]
    mechanic_id: NotRequired[Annotated[Optional[uuid.UUID], Field(alias="mechanic_id")]]
    metadata: NotRequired[Annotated[JsonValue, Field(alias="metadata")]]
    notes: NotRequired[Annotated[Optional[str], Field(alias="notes")]]
    notification_sent_at: NotRequired[Annotated[Optional[datetime.datetime], Field(alias="notification_sent_at")]]
    plan_code: NotRequired[Annotated[Optional[str], Field(alias="plan_code")]]
    preferred_mechanic_id: NotRequired[Annotated[Optional[uuid.UUID], Field(alias="preferred_mechanic_id")]]
    preferred_workshop_id: NotRequired[Annotated[Optional[uuid.UUID], Field(alias="preferred_workshop_id")]]
    priority_notified_at: NotRequired[Annotated[Optional[datetime.datetime], Field(alias="priority_notified_at")]]
    priority_window_minutes: NotRequired[Annotated[Optional[int], Field(alias="priority_window_minutes")]]
    request_type: NotRequired[Annotated[Optional[str], Field(alias="request_type")]]
    requested_brand: NotRequired[Annotated[Optional[str], Field(alias="requested_brand")]]
    session_type: NotRequired[Annotated[PublicSessionType, Field(alias="session_type")]]
    status: NotRequired[Annotated[PublicSessionRequestStatus, Field(alias="status")]]
    updated_at: NotRequired[Annotated[datetime.datetime, Field(alias="updated_at")]]
