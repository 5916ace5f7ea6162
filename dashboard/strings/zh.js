// 简体中文的文字，键与 en.js 相同。

/** @type {Record<keyof typeof import("./en.js").en, string | {one?: string, other: string}>} */
export const zh = {
  // 共用
  language: "语言",
  theme: "主题",
  "theme.system": "跟随系统",
  "theme.light": "浅色",
  "theme.dark": "深色",
  loading: "加载中…",
  retry: "重试",
  stale: "数据未更新：",
  copy: "复制",
  copied: "已复制",
  close: "关闭",
  cancel: "取消",
  save: "保存",
  delete: "删除",
  sort: "排序",
  time: "时间",
  none: "无",
  all: "全部",
  all_models: "所有模型",
  "error.unreachable": "无法连接密钥池。请检查它是否在运行，以及本设备的网络。",
  "error.status": "密钥池返回了状态码 {status}。",
  "error.no_view": "没有这个页面。",
  "unit.ms": "{value} 毫秒",
  "unit.s": "{value} 秒",
  "unit.min": "{value} 分钟",
  "unit.h": "{value} 小时",
  "unit.d": "{value} 天",
  "unit.per_hour": "每小时 {value}",

  // 框架
  "nav.label": "页面",
  "nav.skip": "跳到内容",
  "nav.overview": "概览",
  "nav.keys": "密钥",
  "nav.calls": "调用",
  "nav.tokens": "令牌",
  "nav.explain": "选择分析",
  "nav.settings": "设置",
  "session.read_only": "您只能查看，不能更改。",
  "session.sign_out": "退出登录",
  "sign_in.title": "登录",
  "sign_in.token": "管理员令牌",
  "sign_in.hint": "admin_token 的值；只读则用 admin_read_token。浏览器不会保存它。",
  "sign_in.submit": "登录",

  // 首次启动
  "first.command": "命令",
  "first.token_title": "设置管理员令牌",
  "first.token_text":
    "此密钥池没有设置 admin_token，所以还没有人能登录。请生成一个随机令牌并设置：",
  "first.token_next": "然后重新启动密钥池，用该令牌在这里登录。",
  "first.keys_title": "添加第一批密钥",
  "first.keys_text": "密钥池里还没有 Gemini API 密钥，所以无法响应调用。请在这里添加团队的密钥。",
  "first.keys_cli": "或者使用命令行：",

  // API 的名称：状态、结果、责任方和单位
  "state.active": "可用",
  "state.cooling": "冷却中",
  "state.disabled": "已停用",
  "state.expired": "已过期",
  "state.unknown": "未知",
  "fault.success": "成功",
  "fault.quota": "配额",
  "fault.upstream": "上游",
  "fault.key": "密钥或项目",
  "fault.client": "客户端",
  "fault.other": "其他",
  "outcome.success": "成功",
  "outcome.client_gone": "客户端断开",
  "outcome.client_fault": "客户端错误",
  "outcome.request_too_large": "请求过大",
  "outcome.request_refused": "请求被拒",
  "outcome.entity_not_found": "未找到",
  "outcome.signature_missing": "缺少签名",
  "outcome.signature_refused": "签名被拒",
  "outcome.key_rejected": "密钥被拒",
  "outcome.key_restricted": "密钥受限",
  "outcome.credential_misplaced": "凭据位置错误",
  "outcome.project_refused": "项目被拒",
  "outcome.resource_refused": "资源被拒",
  "outcome.model_refused": "模型被拒",
  "outcome.plan_refused": "套餐不支持",
  "outcome.plan_doubted": "套餐存疑",
  "outcome.free_tier_refused": "免费层不可用",
  "outcome.billing_exhausted": "账单额度用尽",
  "outcome.egress_refused": "地区被拒",
  "outcome.quota_per_minute": "每分钟配额",
  "outcome.quota_per_day": "每日配额",
  "outcome.quota_none": "无配额",
  "outcome.quota_unspecified": "配额（未说明）",
  "outcome.tool_quota": "工具配额",
  "outcome.empty_answer": "空响应",
  "outcome.model_overloaded": "模型过载",
  "outcome.upstream_trouble": "上游故障",
  "outcome.not_sent": "未发出",
  "outcome.unanswered": "无应答",
  "outcome.pool_fault": "密钥池错误",
  "unit_of.requests": "请求",
  "unit_of.input_tokens": "输入 token",
  "unit_of.texts": "文本",
  "per.minute": "每分钟",
  "per.day": "每天",

  // 概览

  // 密钥

  // 单个密钥

  // 调用

  // 请求

  // 令牌

  // 选择分析

  // 设置
};
