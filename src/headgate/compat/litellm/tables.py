"""What LiteLLM's words mean here: its providers, its routing strategies, and the keys that have no particular code."""

from __future__ import annotations

import re

import msgspec

from headgate.compat.litellm.fates import Rule


class Elsewhere(msgspec.Struct, frozen=True):
    """A provider that is declared: it speaks OpenAI's wire at an address. None: the configuration must say where."""

    base_url: str | None
    key_env: str | None = None


BUILT_IN = {
    "openai": "openai",
    "azure": "azure_openai",
    "azure_text": "azure_openai",
    "anthropic": "anthropic",
    "gemini": "gemini",
    "vertex_ai": "vertex",
    "vertex_ai_beta": "vertex",
    "bedrock": "bedrock",
    "bedrock_converse": "bedrock",
    "groq": "groq",
    "together_ai": "together",
    "xai": "xai",
    "ollama": "ollama",
    "ollama_chat": "ollama",
}
"""LiteLLM's prefix of a model, and our provider."""
DECLARED = {
    "mistral": Elsewhere("https://api.mistral.ai/v1", "MISTRAL_API_KEY"),
    "deepseek": Elsewhere("https://api.deepseek.com/v1", "DEEPSEEK_API_KEY"),
    "openrouter": Elsewhere("https://openrouter.ai/api/v1", "OPENROUTER_API_KEY"),
    "fireworks_ai": Elsewhere("https://api.fireworks.ai/inference/v1", "FIREWORKS_AI_API_KEY"),
    "perplexity": Elsewhere("https://api.perplexity.ai", "PERPLEXITYAI_API_KEY"),
    "cerebras": Elsewhere("https://api.cerebras.ai/v1", "CEREBRAS_API_KEY"),
    "nvidia_nim": Elsewhere("https://integrate.api.nvidia.com/v1", "NVIDIA_NIM_API_KEY"),
    "deepinfra": Elsewhere("https://api.deepinfra.com/v1/openai", "DEEPINFRA_API_KEY"),
    "sambanova": Elsewhere("https://api.sambanova.ai/v1", "SAMBANOVA_API_KEY"),
    "moonshot": Elsewhere("https://api.moonshot.ai/v1", "MOONSHOT_API_KEY"),
    "cohere": Elsewhere("https://api.cohere.ai/compatibility/v1", "COHERE_API_KEY"),
    "cohere_chat": Elsewhere("https://api.cohere.ai/compatibility/v1", "COHERE_API_KEY"),
    "azure_ai": Elsewhere(None, "AZURE_AI_API_KEY"),
    "hosted_vllm": Elsewhere(None, "HOSTED_VLLM_API_KEY"),
    "openai_like": Elsewhere(None, "OPENAI_LIKE_API_KEY"),
    "custom_openai": Elsewhere(None),
    "litellm_proxy": Elsewhere(None, "LITELLM_PROXY_API_KEY"),
    "lm_studio": Elsewhere(None),
    "llamafile": Elsewhere(None),
    "vllm": Elsewhere(None),
    "xinference": Elsewhere(None),
    "databricks": Elsewhere(None, "DATABRICKS_API_KEY"),
}
GUESSES = (
    (re.compile(r"(?:gpt-|chatgpt-|o[1-9]|text-embedding-|davinci|babbage)"), "openai"),
    (re.compile(r"claude"), "anthropic"),
    (re.compile(r"gemini"), "vertex_ai"),
    (re.compile(r"command"), "cohere"),
)
"""The prefix of a model that is written without one, by how it begins."""
_CALL = "a request says this itself; a deployment does not change what is asked"
_SELF = "found out by itself"
_LOGS = "no callbacks: receipts, metrics and OpenTelemetry spans say what happened"
_DB = "kept by the program itself"
_KEYS = "set on each key when it is made: headgate keys create"
_UI = "there is no user interface of that kind"
_HERE = "no counterpart"


def _rules(section: str, outcome_reasons: dict[str, tuple[str, ...]]) -> dict[str, Rule]:
    found: dict[str, Rule] = {}
    for text, names in outcome_reasons.items():
        outcome, _, reason = text.partition(": ")
        for name in names:
            found[f"{section}.{name}"] = Rule("approximated" if outcome == "like" else "dropped", reason)
    return found


_PARAMS = _rules(
    "model_list.litellm_params",
    {
        f"not: {_CALL}": (
            "temperature",
            "top_p",
            "top_k",
            "max_tokens",
            "max_completion_tokens",
            "seed",
            "stop",
            "n",
            "user",
            "presence_penalty",
            "frequency_penalty",
            "response_format",
            "thinking",
            "reasoning_effort",
            "extra_body",
            "stream_options",
            "stream",
            "tools",
            "tool_choice",
            "logit_bias",
            "dimensions",
            "encoding_format",
            "modalities",
            "service_tier",
            "prompt_id",
            "prompt_variables",
            "cache_control_injection_points",
            "web_search_options",
        ),
        "like: fields a wire cannot carry are left out and reported with every answer": (
            "drop_params",
            "additional_drop_params",
            "modify_params",
        ),
        "like: one number of attempts for all, routing.attempts": ("max_retries", "num_retries"),
        "like: deployments of a route are tried in the order its strategy gives": ("order",),
        "like: a stream is bounded by the deadline of the request": ("stream_timeout",),
        "like: the breaker's own times": ("cooldown_time",),
        "like: tags are of keys, and budgets count by them": ("tags",),
        "like: what a model can do is in its card": (
            "supports_system_message",
            "allowed_openai_params",
            "merge_reasoning_content_in_choices",
        ),
        "not: certificates are checked; name yours with ca_file": ("ssl_verify",),
        "not: headers are a provider's: providers.NAME.headers": ("extra_headers", "headers", "default_headers"),
        "not: no shared credential of that name": ("litellm_credential_name",),
        "not: use headgate sim for answers that are made up": ("mock_response", "mock_tool_calls"),
        "not: clients cannot change where a request goes": ("configurable_clientside_auth_params",),
        "not: priced by tokens alone": (
            "input_cost_per_second",
            "output_cost_per_second",
            "input_cost_per_character",
            "input_cost_per_query",
        ),
        "not: hand a key or a token over in the provider's variables": (
            "aws_session_name",
            "aws_profile_name",
            "aws_role_name",
            "aws_web_identity_token",
            "aws_sts_endpoint",
            "azure_ad_token",
            "tenant_id",
            "client_id",
            "client_secret",
            "azure_username",
            "azure_password",
            "organization",
        ),
        f"not: {_HERE}": (
            "use_in_pass_through",
            "use_litellm_proxy",
            "guardrails",
            "litellm_trace_id",
            "model_config_id",
            "auto_router_config",
        ),
    },
)
_INFO = _rules(
    "model_list.model_info",
    {
        f"like: {_SELF}, from the call": ("mode", "litellm_provider", "health_check_model", "disable_background_health_check"),
        "like: what a model can do is in its card": ("supports_*", "supported_*", "output_vector_size", "max_images_per_prompt"),
        "like: deployments are named by route, model and account": (
            "id",
            "description",
            "metadata",
            "version",
            "db_model",
            "tier",
            "created_by",
        ),
        "not: models of a key are patterns on the key: headgate keys create --models": ("access_groups", "team_id", "access_via_team_ids"),
        "not: a batch costs the share of the list price that the catalog says": (
            "input_cost_per_token_batches",
            "output_cost_per_token_batches",
        ),
        "not: write it into the price file that was made, as a tier or rate": (
            "input_cost_per_token_above_*",
            "output_cost_per_token_above_*",
            "input_cost_per_audio_token",
            "output_cost_per_audio_token",
            "output_cost_per_reasoning_token",
            "cache_read_input_token_cost_above_*",
        ),
        "not: priced by tokens alone": (
            "input_cost_per_second",
            "output_cost_per_second",
            "input_cost_per_character",
            "output_cost_per_character",
            "input_cost_per_image",
            "output_cost_per_image",
            "input_cost_per_pixel",
            "input_cost_per_query",
            "search_context_cost_per_query",
        ),
    },
)
_ROUTER = {
    "like: breakers open and close by what deployments do; nothing is to be set": (
        "cooldown_time",
        "allowed_fails",
        "allowed_fails_policy",
        "disable_cooldowns",
    ),
    "like: what is tried again follows from the kind of error; routing.attempts bounds it": (
        "retry_policy",
        "model_group_retry_policy",
        "max_fallbacks",
    ),
    "like: what a provider asks for by Retry-After is kept to": ("retry_after",),
    "like: context, abilities and rates are always checked before a call": (
        "enable_pre_call_checks",
        "optional_pre_call_checks",
        "routing_strategy_args",
    ),
    "like: set the variable HEADGATE_REDIS_URL": ("redis_url", "redis_host", "redis_port", "redis_password", "redis_db", "redis_*"),
    "like: a stream is bounded by the deadline of the request": ("stream_timeout",),
    "like: tags are of keys, and budgets count by them": ("enable_tag_filtering", "tag_filtering_match_any"),
    f"not: {_SELF}": ("set_verbose", "debug_level", "client_ttl", "polling_interval", "cache_kwargs", "caching_groups", "cache_responses"),
    f"not: {_HERE}": ("assistants_config", "alerting_config", "default_priority", "default_litellm_params", "search_tools"),
}
_LITELLM = {
    **{text: names for text, names in _ROUTER.items() if text.startswith("like: breakers") or "Retry-After" in text},
    "like: fields a wire cannot carry are left out and reported with every answer": ("drop_params", "modify_params"),
    "like: a stream is bounded by the deadline of the request": ("stream_timeout",),
    f"not: {_LOGS}": (
        "success_callback",
        "failure_callback",
        "callbacks",
        "service_callbacks",
        "audit_log_callbacks",
        "callback_settings",
        "langfuse_default_tags",
        "s3_callback_params",
        "custom_prometheus_metadata_labels",
        "prometheus_*",
        "datadog_*",
        "generic_logger_headers",
        "custom_provider_map",
        "default_internal_logger_*",
    ),
    "like: contents are not logged at all": ("turn_off_message_logging", "redact_messages_in_exceptions", "redact_user_api_key_info"),
    "like: log lines are JSON": ("json_logs",),
    "like: nothing is reported home": ("telemetry",),
    "like: model names are shown to whoever may call them": ("public_model_groups",),
    "like: every answer carries x-headgate headers": ("return_response_headers",),
    "like: schemas are the model's to keep; runs validate": ("enable_json_schema_validation",),
    "like: the ledger keeps an audit trail": ("store_audit_logs",),
    "not: certificates are checked; name yours with ca_file": ("ssl_verify", "ssl_certificate", "ssl_security_level"),
    f"not: {_KEYS}": (
        "upperbound_key_generate_params",
        "key_generation_settings",
        "default_internal_user_params",
        "default_team_params",
        "default_team_settings",
        "default_user_params",
        "custom_auth_settings",
        "priority_reservation",
        "disable_end_user_cost_tracking*",
        "max_end_user_budget",
        "max_end_user_budget_id",
        "tag_budget_config",
        "internal_user_budget_duration",
        "max_ui_session_budget",
        "enable_loadbalancing_on_batch_endpoints",
        "require_auth_for_metrics_endpoint",
    ),
    f"not: {_SELF}": ("set_verbose", "suppress_debug_info", "force_ipv4", "enable_preview_features", "forward_traceparent_to_llm_provider"),
    f"not: {_HERE}": (
        "guardrails",
        "model_alias_map",
        "default_max_tokens",
        "prompts",
        "vector_store_registry",
        "mcp_*",
        "ui_theme_config",
    ),
    "like: set the variable HEADGATE_REDIS_URL": ("redis_*",),
}
_GENERAL = {
    "like: set the variable HEADGATE_DATABASE_URL": ("database_url",),
    f"like: {_DB}": (
        "database_connection_pool_limit",
        "database_connection_timeout",
        "database_type",
        "allow_requests_on_db_unavailable",
        "proxy_batch_write_at",
        "proxy_budget_rescheduler_*",
        "disable_reset_budget",
        "user_api_key_cache_ttl",
        "use_redis_transaction_buffer",
        "store_model_in_db",
        "supported_db_objects",
        "disable_adding_master_key_hash_to_db",
        "disable_prisma_schema_update",
    ),
    "like: receipts are always kept; they hold no prompts": (
        "disable_spend_logs",
        "disable_spend_updates",
        "disable_error_logs",
        "maximum_spend_logs_retention_period",
        "maximum_spend_logs_retention_interval",
        "spend_report_frequency",
    ),
    "like: keys are told apart by their prefix": ("disable_master_key_return", "litellm_key_header_name"),
    "like: breakers watch what real calls do": (
        "background_health_checks",
        "health_check_interval",
        "health_check_details",
        "health_check_concurrency",
        "use_shared_health_check",
        "enable_health_check_routes",
    ),
    "like: alerts are of budgets; point Prometheus at /metrics for the rest": (
        "alerting",
        "alerting_threshold",
        "alerting_args",
        "alert_types",
        "alert_to_webhook_url",
    ),
    "like: headers a provider needs are passed on when the wire stays the same": (
        "forward_client_headers_to_llm_api",
        "forward_openai_org_id",
        "forward_llm_provider_auth_headers",
    ),
    "like: what a key may do is its scopes: headgate keys create": (
        "allowed_routes",
        "admin_only_routes",
        "public_routes",
        "enforce_user_param",
        "enforced_params",
        "allow_user_auth",
        "service_account_settings",
        "reject_clientside_metadata_tags",
        "ui_access_mode",
        "user_header_name",
        "user_header_mappings",
        "allow_client_side_credentials",
    ),
    "like: routing.fallback is what serves a request without a model": ("completion_model", "embedding_model", "image_generation_model"),
    "not: code of your own is not loaded": ("custom_auth", "custom_key_generate", "custom_sso", "custom_ui_sso_sign_in_handler"),
    "not: keys of clients are Headgate's own": (
        "enable_jwt_auth",
        "litellm_jwtauth",
        "enable_oauth2_auth",
        "enable_oauth2_proxy_auth",
        "oauth2_config_mappings",
        "key_management_system",
        "key_management_settings",
        "use_google_kms",
        "use_azure_key_vault",
        "allowed_ips",
        "use_x_forwarded_for",
    ),
    f"not: {_UI}": ("ui_username", "ui_password", "custom_swagger_css_url"),
    f"not: {_SELF}": ("infer_model_from_keys", "set_verbose", "max_response_size_mb", "disable_retry_on_max_parallel_request_limit_error"),
    f"not: {_HERE}": ("pass_through_endpoints", "mcp_*", "coding_assistant_*", "store_prompts_in_cold_storage", "apply_guardrails*"),
}
_TOP = {
    "include": "files are not included: import each of them",
    "guardrails": "no guardrails",
    "mcp_servers": "no tool servers",
    "mcp_tools": "no tool servers",
    "vector_store_registry": "no vector stores",
    "search_tools": "no search tools",
    "callback_settings": _LOGS,
    "prompts": "prompts are not kept here",
    "finetune_settings": "no fine-tuning",
    "files_settings": "files and batches go to the provider that was asked",
    "assistant_settings": "no assistants",
    "default_vertex_config": "set the variables of the provider vertex",
    "policies": "no guardrails",
    "policy_attachments": "no guardrails",
    "agent_list": "no agents",
    "health_check_models": _SELF,
}
RULES: dict[str, Rule] = {
    **_PARAMS,
    **_INFO,
    **_rules("router_settings", _ROUTER),
    **_rules("litellm_settings", _LITELLM),
    **_rules("general_settings", _GENERAL),
    **{name: Rule("dropped", reason) for name, reason in _TOP.items()},
}
"""By path, list positions left out."""
