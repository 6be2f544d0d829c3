    fn {{scenario}}(&self) -> Mock<'_> {
        self.{{operation}}(|_, then| {
            then.not_found(&samples::errors::{{code}}());
        })
    }

