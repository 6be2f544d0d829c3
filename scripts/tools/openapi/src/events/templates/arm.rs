        "{{name}}" => handler.{{method}}(read(message)?).await,
