
export type Json = string | number | boolean | null | { [key: string]: Json | undefined } | Json[]

export type Database = {
  
  "public": {
          Tables: {
            "customer_favorites": {
                  Row: {
                    "created_at": string,"customer_id": string,"mechanic_id": string
                  }
                  ComputedFields: never
                  Insert: {
                    "created_at"?: string,"customer_id": string,"mechanic_id": string
                  }
                  Update: {
                    "created_at"?: string,"customer_id"?: string,"mechanic_id"?: string
                  }
                  Relationships: [
                    {
      foreignKeyName: "customer_favorites_mechanic_id_fkey"
      columns: ["mechanic_id"]
isOneToOne: false
      referencedRelation: "mechanics"
      referencedColumns: ["id"]
    }
                  ]
                },"mechanics": {
                  Row: {
                    "brands": (string)[],"city": string | null,"country": string | null,"created_at": string,"display_name": string | null,"id": string,"is_online": boolean,"status": string | null,"updated_at": string
                  }
                  ComputedFields: never
                  Insert: {
                    "brands"?: (string)[],"city"?: string | null,"country"?: string | null,"created_at"?: string,"display_name"?: string | null,"id": string,"is_online"?: boolean,"status"?: string | null,"updated_at"?: string
                  }
                  Update: {
                    "brands"?: (string)[],"city"?: string | null,"country"?: string | null,"created_at"?: string,"display_name"?: string | null,"id"?: string,"is_online"?: boolean,"status"?: string | null,"updated_at"?: string
                  }
                  Relationships: [
                    
                  ]
                },"service_plans": {
                  Row: {
                    "code": string,"currency": string,"is_active": boolean,"price_cents": number,"session_type": Database["public"]['Enums']["session_type"],"title": string
                  }
                  ComputedFields: never
                  Insert: {
                    "code": string,"currency"?: string,"is_active"?: boolean,"price_cents": number,"session_type": Database["public"]['Enums']["session_type"],"title": string
                  }
                  Update: {
                    "code"?: string,"currency"?: string,"is_active"?: boolean,"price_cents"?: number,"session_type"?: Database["public"]['Enums']["session_type"],"title"?: string
                  }
                  Relationships: [
                    
                  ]
                },"session_requests": {
                  Row: {
                    "accepted_at": string | null,"created_at": string,"customer_city": string | null,"customer_country": string | null,"customer_email": string | null,"customer_id": string,"customer_name": string | null,"expires_at": string | null,"extracted_keywords": (string)[] | null,"id": string,"is_follow_up": boolean,"is_urgent": boolean,"mechanic_id": string | null,"metadata": NonNullable<Json>,"notes": string | null,"notification_sent_at": string | null,"plan_code": string | null,"preferred_mechanic_id": string | null,"preferred_workshop_id": string | null,"priority_notified_at": string | null,"priority_window_minutes": number | null,"request_type": string | null,"requested_brand": string | null,"session_type": Database["public"]['Enums']["session_type"],"status": Database["public"]['Enums']["session_request_status"],"updated_at": string
                  }
                  ComputedFields: never
                  Insert: {
                    "accepted_at"?: string | null,"created_at"?: string,"customer_city"?: string | null,"customer_country"?: string | null,"customer_email"?: string | null,"customer_id": string,"customer_name"?: string | null,"expires_at"?: string | null,"extracted_keywords"?: (string)[] | null,"id"?: string,"is_follow_up"?: boolean,"is_urgent"?: boolean,"mechanic_id"?: string | null,"metadata"?: NonNullable<Json>,"notes"?: string | null,"notification_sent_at"?: string | null,"plan_code"?: string | null,"preferred_mechanic_id"?: string | null,"preferred_workshop_id"?: string | null,"priority_notified_at"?: string | null,"priority_window_minutes"?: number | null,"request_type"?: string | null,"requested_brand"?: string | null,"session_type": Database["public"]['Enums']["session_type"],"status"?: Database["public"]['Enums']["session_request_status"],"updated_at"?: string
                  }
                  Update: {
                    "accepted_at"?: string | null,"created_at"?: string,"customer_city"?: string | null,"customer_country"?: string | null,"customer_email"?: string | null,"customer_id"?: string,"customer_name"?: string | null,"expires_at"?: string | null,"extracted_keywords"?: (string)[] | null,"id"?: string,"is_follow_up"?: boolean,"is_urgent"?: boolean,"mechanic_id"?: string | null,"metadata"?: NonNullable<Json>,"notes"?: string | null,"notification_sent_at"?: string | null,"plan_code"?: string | null,"preferred_mechanic_id"?: string | null,"preferred_workshop_id"?: string | null,"priority_notified_at"?: string | null,"priority_window_minutes"?: number | null,"request_type"?: string | null,"requested_brand"?: string | null,"session_type"?: Database["public"]['Enums']["session_type"],"status"?: Database["public"]['Enums']["session_request_status"],"updated_at"?: string
                  }
                  Relationships: [
                    {
      foreignKeyName: "session_requests_preferred_mechanic_id_fkey"
      columns: ["preferred_mechanic_id"]
isOneToOne: false
      referencedRelation: "mechanics"
      referencedColumns: ["id"]
    }
                  ]
                }
          }
          Views: {
            [_ in never]: never
          }
          Functions: {
            "accept_session_request":
{ Args: { "request_id": string }; Returns: {
              "accepted_at": string | null,
"created_at": string,
"customer_city": string | null,
"customer_country": string | null,
"customer_email": string | null,
"customer_id": string,
"customer_name": string | null,
"expires_at": string | null,
"extracted_keywords": (string)[] | null,
"id": string,
"is_follow_up": boolean,
"is_urgent": boolean,
"mechanic_id": string | null,
"metadata": NonNullable<Json>,
"notes": string | null,
"notification_sent_at": string | null,
"plan_code": string | null,
"preferred_mechanic_id": string | null,
"preferred_workshop_id": string | null,
"priority_notified_at": string | null,
"priority_window_minutes": number | null,
"request_type": string | null,
"requested_brand": string | null,
"session_type": Database["public"]['Enums']["session_type"],
"status": Database["public"]['Enums']["session_request_status"],
"updated_at": string
            }
                          SetofOptions: {
        from: "*"
        to: "session_requests"
        isOneToOne: true
        isSetofReturn: false
      } },
"acknowledge_notice":
{ Args: { "event_id": number }; Returns: undefined
                           },
"block_customer":
{ Args: { "request_id": string }; Returns: undefined
                           },
"block_mechanic":
{ Args: { "mechanic_id": string }; Returns: undefined
                           },
"broadcast_session_request_now":
{ Args: { "request_id": string }; Returns: {
              "accepted_at": string | null,
"created_at": string,
"customer_city": string | null,
"customer_country": string | null,
"customer_email": string | null,
"customer_id": string,
"customer_name": string | null,
"expires_at": string | null,
"extracted_keywords": (string)[] | null,
"id": string,
"is_follow_up": boolean,
"is_urgent": boolean,
"mechanic_id": string | null,
"metadata": NonNullable<Json>,
"notes": string | null,
"notification_sent_at": string | null,
"plan_code": string | null,
"preferred_mechanic_id": string | null,
"preferred_workshop_id": string | null,
"priority_notified_at": string | null,
"priority_window_minutes": number | null,
"request_type": string | null,
"requested_brand": string | null,
"session_type": Database["public"]['Enums']["session_type"],
"status": Database["public"]['Enums']["session_request_status"],
"updated_at": string
            }
                          SetofOptions: {
        from: "*"
        to: "session_requests"
        isOneToOne: true
        isSetofReturn: false
      } },
"cancel_session_request":
{ Args: { "request_id": string }; Returns: {
              "accepted_at": string | null,
"created_at": string,
"customer_city": string | null,
"customer_country": string | null,
"customer_email": string | null,
"customer_id": string,
"customer_name": string | null,
"expires_at": string | null,
"extracted_keywords": (string)[] | null,
"id": string,
"is_follow_up": boolean,
"is_urgent": boolean,
"mechanic_id": string | null,
"metadata": NonNullable<Json>,
"notes": string | null,
"notification_sent_at": string | null,
"plan_code": string | null,
"preferred_mechanic_id": string | null,
"preferred_workshop_id": string | null,
"priority_notified_at": string | null,
"priority_window_minutes": number | null,
"request_type": string | null,
"requested_brand": string | null,
"session_type": Database["public"]['Enums']["session_type"],
"status": Database["public"]['Enums']["session_request_status"],
"updated_at": string
            }
                          SetofOptions: {
        from: "*"
        to: "session_requests"
        isOneToOne: true
        isSetofReturn: false
      } },
"claim_pushes":
{ Args: { "max_rows"?: number }; Returns: {
              "auth": string,"endpoint": string,"p256dh": string,"payload": string,"push_id": number,"topic": string,"ttl": number,"urgency": string
            }[]
                           },
"complete_session_request":
{ Args: { "request_id": string }; Returns: {
              "accepted_at": string | null,
"created_at": string,
"customer_city": string | null,
"customer_country": string | null,
"customer_email": string | null,
"customer_id": string,
"customer_name": string | null,
"expires_at": string | null,
"extracted_keywords": (string)[] | null,
"id": string,
"is_follow_up": boolean,
"is_urgent": boolean,
"mechanic_id": string | null,
"metadata": NonNullable<Json>,
"notes": string | null,
"notification_sent_at": string | null,
"plan_code": string | null,
"preferred_mechanic_id": string | null,
"preferred_workshop_id": string | null,
"priority_notified_at": string | null,
"priority_window_minutes": number | null,
"request_type": string | null,
"requested_brand": string | null,
"session_type": Database["public"]['Enums']["session_type"],
"status": Database["public"]['Enums']["session_request_status"],
"updated_at": string
            }
                          SetofOptions: {
        from: "*"
        to: "session_requests"
        isOneToOne: true
        isSetofReturn: false
      } },
"decline_session_request":
{ Args: { "reason"?: string,"request_id": string }; Returns: Json
                           },
"finish_pushes":
{ Args: { "answers": Json }; Returns: number
                           },
"get_checkout_status":
{ Args: { "checkout_session_id": string }; Returns: string
                           },
"get_mechanic_status":
{ Args: { "mechanic_id": string }; Returns: Json
                           },
"get_session_request_by_checkout":
{ Args: { "checkout_session_id": string }; Returns: Json
                           },
"get_session_request_timeline":
{ Args: { "request_id": string }; Returns: {
              "actor": string,"created_at": string,"event": string,"event_id": number,"reason": string
            }[]
                           },
"list_favorite_mechanics":
{ Args: Record<PropertyKey, never>; Returns: {
              "display_name": string,"favorited_at": string,"is_online": boolean,"is_reachable": boolean,"last_seen": string,"mechanic_id": string
            }[]
                           },
"list_open_session_requests":
{ Args: Record<PropertyKey, never>; Returns: {
              "created_at": string,"currency": string,"customer_city": string,"is_priority": boolean,"is_returning_customer": boolean,"is_urgent": boolean,"match_reasons": (string)[],"match_score": number,"plan_code": string,"plan_title": string,"price_cents": number,"request_id": string,"requested_brand": string,"session_type": string,"window_ends_at": string
            }[]
                           },
"list_session_request_events":
{ Args: { "after"?: number,"max_rows"?: number }; Returns: {
              "created_at": string,"event": string,"event_id": number,"payload": Json,"request_id": string
            }[]
                           },
"list_session_request_mechanics":
{ Args: { "request_id": string }; Returns: {
              "ends_at": string,"event_id": number,"mechanic_id": string,"starts_at": string
            }[]
                           },
"list_session_request_payments":
{ Args: { "request_ids": (string)[] }; Returns: {
              "amount_total": Json,"currency": string,"request_id": string,"status": string
            }[]
                           },
"prepare_checkout":
{ Args: { "notes"?: string,"plan_code": string,"preferred_mechanic_id"?: string,"preferred_mechanic_ids"?: (string)[],"priority_window_minutes"?: number,"routing_type"?: string,"skip_if_offline"?: boolean }; Returns: Json
                           },
"process_stripe_event":
{ Args: { "event": Json }; Returns: Json
                           },
"register_device":
{ Args: { "auth": string,"endpoint": string,"p256dh": string }; Returns: undefined
                           },
"release_session_request":
{ Args: { "reason"?: string,"request_id": string }; Returns: Json
                           },
"reopen_session_request":
{ Args: { "request_id": string }; Returns: {
              "accepted_at": string | null,
"created_at": string,
"customer_city": string | null,
"customer_country": string | null,
"customer_email": string | null,
"customer_id": string,
"customer_name": string | null,
"expires_at": string | null,
"extracted_keywords": (string)[] | null,
"id": string,
"is_follow_up": boolean,
"is_urgent": boolean,
"mechanic_id": string | null,
"metadata": NonNullable<Json>,
"notes": string | null,
"notification_sent_at": string | null,
"plan_code": string | null,
"preferred_mechanic_id": string | null,
"preferred_workshop_id": string | null,
"priority_notified_at": string | null,
"priority_window_minutes": number | null,
"request_type": string | null,
"requested_brand": string | null,
"session_type": Database["public"]['Enums']["session_type"],
"status": Database["public"]['Enums']["session_request_status"],
"updated_at": string
            }
                          SetofOptions: {
        from: "*"
        to: "session_requests"
        isOneToOne: true
        isSetofReturn: false
      } },
"request_free_session":
{ Args: { "attempt"?: string,"notes"?: string,"plan_code": string,"preferred_mechanic_id"?: string,"preferred_mechanic_ids"?: (string)[],"routing_type"?: string }; Returns: {
              "accepted_at": string | null,
"created_at": string,
"customer_city": string | null,
"customer_country": string | null,
"customer_email": string | null,
"customer_id": string,
"customer_name": string | null,
"expires_at": string | null,
"extracted_keywords": (string)[] | null,
"id": string,
"is_follow_up": boolean,
"is_urgent": boolean,
"mechanic_id": string | null,
"metadata": NonNullable<Json>,
"notes": string | null,
"notification_sent_at": string | null,
"plan_code": string | null,
"preferred_mechanic_id": string | null,
"preferred_workshop_id": string | null,
"priority_notified_at": string | null,
"priority_window_minutes": number | null,
"request_type": string | null,
"requested_brand": string | null,
"session_type": Database["public"]['Enums']["session_type"],
"status": Database["public"]['Enums']["session_request_status"],
"updated_at": string
            }
                          SetofOptions: {
        from: "*"
        to: "session_requests"
        isOneToOne: true
        isSetofReturn: false
      } },
"set_presence":
{ Args: { "status": string }; Returns: Json
                           },
"unblock_customer":
{ Args: { "request_id": string }; Returns: undefined
                           },
"unblock_mechanic":
{ Args: { "mechanic_id": string }; Returns: undefined
                           },
"unregister_device":
{ Args: { "endpoint": string }; Returns: undefined
                           }
          }
          Enums: {
            "session_request_status": "pending"|"accepted"|"cancelled"|"expired"|"completed","session_type": "diagnostic"|"chat"|"video"
          }
          CompositeTypes: {
            [_ in never]: never
          }
        }
}

type DatabaseWithoutInternals = Omit<Database, '__InternalSupabase'>

type DefaultSchema = DatabaseWithoutInternals[Extract<keyof Database, "public">]

export type Tables<
  DefaultSchemaTableNameOrOptions extends
    | keyof (DefaultSchema["Tables"] & DefaultSchema["Views"])
    | { schema: keyof DatabaseWithoutInternals },
  TableName extends DefaultSchemaTableNameOrOptions extends {
    schema: keyof DatabaseWithoutInternals
  }
    ? keyof (DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Tables"] &
        DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Views"])
    : never = never
> = DefaultSchemaTableNameOrOptions extends { schema: keyof DatabaseWithoutInternals }
  ? (DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Tables"] &
      DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Views"])[TableName] extends {
      Row: infer R
    }
    ? R
    : never
  : DefaultSchemaTableNameOrOptions extends keyof (DefaultSchema["Tables"] & DefaultSchema["Views"])
  ? (DefaultSchema["Tables"] & DefaultSchema["Views"])[DefaultSchemaTableNameOrOptions] extends {
      Row: infer R
    }
    ? R
    : never
  : never

export type TablesInsert<
  DefaultSchemaTableNameOrOptions extends
    | keyof DefaultSchema["Tables"]
    | { schema: keyof DatabaseWithoutInternals },
  TableName extends DefaultSchemaTableNameOrOptions extends {
    schema: keyof DatabaseWithoutInternals
  }
    ? keyof DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Tables"]
    : never = never
> = DefaultSchemaTableNameOrOptions extends { schema: keyof DatabaseWithoutInternals }
  ? DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Tables"][TableName] extends {
      Insert: infer I
    }
    ? I
    : never
  : DefaultSchemaTableNameOrOptions extends keyof DefaultSchema["Tables"]
  ? DefaultSchema["Tables"][DefaultSchemaTableNameOrOptions] extends {
      Insert: infer I
    }
    ? I
    : never
  : never

export type TablesUpdate<
  DefaultSchemaTableNameOrOptions extends
    | keyof DefaultSchema["Tables"]
    | { schema: keyof DatabaseWithoutInternals },
  TableName extends DefaultSchemaTableNameOrOptions extends {
    schema: keyof DatabaseWithoutInternals
  }
    ? keyof DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Tables"]
    : never = never
> = DefaultSchemaTableNameOrOptions extends { schema: keyof DatabaseWithoutInternals }
  ? DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Tables"][TableName] extends {
      Update: infer U
    }
    ? U
    : never
  : DefaultSchemaTableNameOrOptions extends keyof DefaultSchema["Tables"]
  ? DefaultSchema["Tables"][DefaultSchemaTableNameOrOptions] extends {
      Update: infer U
    }
    ? U
    : never
  : never

export type Enums<
  DefaultSchemaEnumNameOrOptions extends
    | keyof DefaultSchema["Enums"]
    | { schema: keyof DatabaseWithoutInternals },
  EnumName extends DefaultSchemaEnumNameOrOptions extends {
    schema: keyof DatabaseWithoutInternals
  }
    ? keyof DatabaseWithoutInternals[DefaultSchemaEnumNameOrOptions["schema"]]["Enums"]
    : never = never
> = DefaultSchemaEnumNameOrOptions extends { schema: keyof DatabaseWithoutInternals }
  ? DatabaseWithoutInternals[DefaultSchemaEnumNameOrOptions["schema"]]["Enums"][EnumName]
  : DefaultSchemaEnumNameOrOptions extends keyof DefaultSchema["Enums"]
  ? DefaultSchema["Enums"][DefaultSchemaEnumNameOrOptions]
  : never

export type CompositeTypes<
  PublicCompositeTypeNameOrOptions extends
    | keyof DefaultSchema["CompositeTypes"]
    | { schema: keyof DatabaseWithoutInternals },
  CompositeTypeName extends PublicCompositeTypeNameOrOptions extends {
    schema: keyof DatabaseWithoutInternals
  }
    ? keyof DatabaseWithoutInternals[PublicCompositeTypeNameOrOptions["schema"]]["CompositeTypes"]
    : never = never
> = PublicCompositeTypeNameOrOptions extends { schema: keyof DatabaseWithoutInternals }
  ? DatabaseWithoutInternals[PublicCompositeTypeNameOrOptions["schema"]]["CompositeTypes"][CompositeTypeName]
  : PublicCompositeTypeNameOrOptions extends keyof DefaultSchema["CompositeTypes"]
  ? DefaultSchema["CompositeTypes"][PublicCompositeTypeNameOrOptions]
  : never

export const Constants = {
  "public": {
          Enums: {
            "session_request_status": ["pending", "accepted", "cancelled", "expired", "completed"],"session_type": ["diagnostic", "chat", "video"]
          }
        }
} as const
