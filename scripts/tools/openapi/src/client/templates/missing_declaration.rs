    /// `{{operation}}` answers 404 with `{{code}}`: {{when}}
    fn {{scenario}}(&self) -> Mock<'_>;

