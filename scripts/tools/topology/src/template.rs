//! Texts with placeholders for what `services/platform.toml` says of a service.

use topology::{Platform, Service};

/// `template` once for each service. See [`fill`].
pub(crate) fn each(platform: &Platform, template: &str) -> String {
    platform.services.iter().map(|service| fill(template, service)).collect()
}

/// `template` once for each service, with an empty line between two.
pub(crate) fn each_apart(platform: &Platform, template: &str) -> String {
    platform.services.iter().map(|service| fill(template, service)).collect::<Vec<_>>().join("\n")
}

/// `template` for one service: `<name>` is `user-service`, `<identifier>` is `user_service`, `<VARIABLE>` is `USER_SERVICE`,
/// `<client>` is `user-client`; beside them there are `<port>` and `<database>`. A line with `<callee>` or `<CALLEE>` is
/// repeated for each service that this one calls, and one with `<SETTING>` for each of its own settings, whose value in
/// Compose is `<value>`. A line with `<if-settings>` or `<if-files>` is left out of services that have none.
pub(crate) fn fill(template: &str, service: &Service) -> String {
    let mut lines = String::with_capacity(template.len());
    for line in template.split_inclusive('\n') {
        if line.contains("<callee>") || line.contains("<CALLEE>") {
            for callee in &service.calls {
                let variable = callee.replace('-', "_").to_uppercase();
                lines.push_str(&line.replace("<callee>", callee).replace("<CALLEE>", &variable));
            }
        } else if line.contains("<SETTING>") {
            for setting in &service.settings {
                let (name, value) = setting.split_once('=').unwrap_or((setting, ""));
                lines.push_str(&line.replace("<SETTING>", name).replace("<value>", value));
            }
        } else {
            let left_out = line.contains("<if-settings>") && service.settings.is_empty()
                || line.contains("<if-files>") && !service.files;
            lines.push_str(if left_out { "" } else { line });
        }
    }
    lines
        .replace("<if-settings>", "")
        .replace("<if-files>", "")
        .replace("<name>", &service.name)
        .replace("<identifier>", &service.identifier())
        .replace("<VARIABLE>", &service.variable())
        .replace("<client>", &service.client())
        .replace("<port>", &service.port.to_string())
        .replace("<database>", &service.database)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_about_a_callee_is_repeated_for_each() {
        let platform = Platform::parse(
            "[[service]]\nname = 'a-service'\nport = 8001\ndatabase = 'a'\n\
             [[service]]\nname = 'b-service'\nport = 8002\ndatabase = 'b'\n\
             [[service]]\nname = 'c-service'\nport = 8003\ndatabase = 'c'\ncalls = ['a-service', 'b-service']\n",
        )
        .unwrap();
        let template = "<name> <identifier> <VARIABLE> <client> <port> <database>\n<CALLEE>_URL=<callee>\n";
        assert_eq!(
            fill(template, platform.service("c-service").unwrap()),
            "c-service c_service C_SERVICE c-client 8003 c\nA_SERVICE_URL=a-service\nB_SERVICE_URL=b-service\n"
        );
        assert_eq!(each(&platform, "<port>"), "800180028003");
    }

    #[test]
    fn a_line_about_a_setting_is_repeated_for_each() {
        let service = "[[service]]\nname = 'a-service'\nport = 8001\ndatabase = 'a'\n";
        let platform =
            Platform::parse(&format!("{service}settings = ['A_URL=http://a', 'B']\nfiles = true\n")).unwrap();
        let template = "<SETTING>: <value>;\nsettings<if-settings>\nfiles<if-files>\n";
        assert_eq!(each(&platform, template), "A_URL: http://a;\nB: ;\nsettings\nfiles\n");
        assert_eq!(each(&Platform::parse(service).unwrap(), template), "");
    }
}
